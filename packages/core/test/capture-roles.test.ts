import { PermissionDeniedError } from "@sluice/core"
import { afterAll, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { dropRoles, openLogin } from "./helpers/logins.ts"
import { freshStream } from "./helpers/recorded.ts"

const { client, pool, url } = await harness()
const suffix = new URL(url).pathname.slice(-8)
const administrators = `capture_admin_${suffix}`
afterAll(() => dropRoles(pool, [administrators]))
await client.admin.uninstall({ confirm: "sluice" })
await client.admin.install({ roles: { admin: administrators } })

const login = (name: string, of: readonly string[] = []) => openLogin(pool, url, `${name}_${suffix}`, { schema: "sluice", of })
/** Owns tables, and may make captures of them. */
const owner = await login("table_owner", [administrators])
/** Writes to tables, and has no right of Sluice's. */
const writer = await login("writer")
await pool.query(`create schema shop authorization "${owner.name}"`)
await owner.pool.query(`grant usage on schema shop to "${writer.name}"`)

/** A table of the owner's that the writer may write to. */
async function table(name: string, columns = "id int primary key, n int"): Promise<string> {
  await owner.pool.query(`create table shop.${name} (${columns}); grant insert, update, delete, truncate, select on shop.${name} to "${writer.name}"`)
  return `shop.${name}`
}

test("a table is captured by its owner, with expressions, and written by who has no right of Sluice's", async () => {
  const { name: stream, news } = await freshStream(client)
  const orders = await table("orders")
  expect(await owner.client.admin.captureTable(orders, { stream, when: "n > 0", old: true, expressions: { extra3: "current_user", extra4: "n * 2" } })).toBe(false)
  expect(await errorOf(writer.pool.query("select sluice.installed_version()"))).toMatchObject({ code: "42501" })
  await writer.pool.query(`insert into ${orders} values (1, 1), (2, 0); update ${orders} set n = 5 where id = 1; delete from ${orders} where id = 1; truncate ${orders}`)
  expect((await news()).map(({ type, key, extra }) => [type, key, extra[2], extra[3]])).toEqual([
    ["orders.insert", "1", writer.name, "2"],
    ["orders.update", "1", writer.name, "10"],
    ["orders.delete", "1", writer.name, "10"],
    ["orders.truncate", null, null, null],
  ])
  expect(await owner.client.admin.releaseTable(orders, { stream })).toBe(true)
})

test("who may not make triggers on a table captures it not, nor releases it", async () => {
  const { name: stream } = await freshStream(client)
  await pool.query("create table not_mine (id int primary key)")
  expect(await errorOf(owner.client.admin.captureTable("not_mine", { stream }))).toBeInstanceOf(PermissionDeniedError)
  await client.admin.captureTable("not_mine", { stream })
  expect(await errorOf(owner.client.admin.releaseTable("not_mine", { stream }))).toBeInstanceOf(PermissionDeniedError)
  expect(await errorOf(writer.client.admin.captureTable("shop.orders", { stream }))).toBeInstanceOf(PermissionDeniedError)
})

test("who owns a table but has no right of Sluice's makes no trigger of its functions, whatever its argument", async () => {
  await pool.query(`grant create on schema public to "${writer.name}"; grant usage on schema sluice to "${writer.name}"`)
  await writer.pool.query("create table own (id int primary key)")
  for (const name of ["capture", "capture_row"]) {
    const error = await errorOf(writer.pool.query(`create trigger mine after insert on own for each row execute function sluice.${name}('{"stream": "x"}')`))
    expect(error).toMatchObject({ code: "42501", message: expect.stringMatching(`permission denied for function .*${name}`) })
  }
  await pool.query(`revoke usage on schema sluice from "${writer.name}"`)
})

test("what the table's owner writes into expressions, types and casts runs as the writer, never as Sluice's owner", async () => {
  const { name: stream, news } = await freshStream(client)
  await owner.pool.query(`create type shop.sly as enum ('x');
    create function shop.who(shop.sly) returns json language sql as 'select to_json(current_user::text)';
    create function shop.whoever() returns text language sql as 'select current_user::text';
    create cast (shop.sly as json) with function shop.who(shop.sly)`)
  const sly = await table("sly_rows", "id int primary key")
  await owner.client.admin.captureTable(sly, { stream, when: `shop.whoever() = '${writer.name}'`, expressions: { type: "shop.whoever()", extra4: "to_jsonb(r)" } })
  // A column that came after the capture.
  await owner.pool.query(`alter table ${sly} add column s shop.sly default 'x'`)
  await writer.pool.query(`insert into ${sly} (id) values (1)`)
  expect(await news()).toMatchObject([{ type: writer.name, data: { id: 1, s: writer.name }, extra: ["shop.sly_rows", null, null, JSON.stringify({ s: writer.name, id: 1 }).replaceAll(":", ": ").replaceAll(",", ", ")] }])
})

test("what a writer supplies is data: in values, and in what the search_path finds", async () => {
  const { name: stream, news } = await freshStream(client)
  const notes = await table("notes", "id text primary key, note text")
  await owner.client.admin.captureTable(notes, { stream, old: true, when: "length(note) > 0", expressions: { type: "lower(id)", extra3: "upper(note)" } })
  await pool.query(`create schema traps authorization "${writer.name}"`)
  const evil = `x'); drop table shop.notes; select ('$1' || $2 -- %s %I "`
  await inTransaction(writer.pool, async (tx) => {
    await tx.query(`create temporary table queue (id int); create function traps.lower(text) returns text language sql as $$ select 'caught' $$;
      create function traps.to_jsonb(anyelement) returns jsonb language sql as $$ select '"caught"'::jsonb $$; create function traps.length(text) returns int language sql as 'select 0';
      create function traps.set_config(text, text, boolean) returns text language sql as $$ select 'caught' $$`)
    await tx.query("set local search_path = traps, pg_temp, pg_catalog, public")
    await tx.query(`insert into ${notes} values ($1, $1)`, [evil])
    await tx.query(`update ${notes} set note = 'n'`)
  })
  expect(await news()).toMatchObject([
    { type: evil.toLowerCase(), key: evil, data: { id: evil, note: evil }, extra: ["shop.notes", null, evil.toUpperCase(), null] },
    { type: evil.toLowerCase(), key: evil, data: { note: "n" }, extra: ["shop.notes", JSON.stringify({ id: evil, note: evil }).replace('":"', '": "').replace('","', '", "').replace('":"', '": "'), "N", null] },
  ])
})

test("a writer forges no event by the setting that the triggers share, and finds no row in it", async () => {
  const { name: stream, news } = await freshStream(client)
  const forged = await table("forged")
  await owner.client.admin.captureTable(forged, { stream })
  await inTransaction(writer.pool, async (tx) => {
    await tx.query(`set local "sluice.captured" = '{"row": {"id": 666}, "values": {"type": "forged"}}'`)
    await tx.query(`truncate ${forged}`)
    await tx.query(`insert into ${forged} values (1, 1)`)
    expect((await tx.query("select current_setting('sluice.captured', true) as row")).rows).toEqual([{ row: "" }])
  })
  expect(await news()).toMatchObject([{ type: "forged.truncate", data: null, extra: ["shop.forged", null, null, null] }, { type: "forged.insert", data: { id: 1 } }])
})

test("where one of the two triggers is gone a write fails, and is not lost to the stream", async () => {
  const { name: stream } = await freshStream(client)
  const first = await table("half")
  await owner.client.admin.captureTable(first, { stream })
  const { rows } = await pool.query("select tgname as name from pg_trigger where tgrelid = $1::regclass and tgfoid = 'sluice.capture_row()'::regprocedure", [first])
  await owner.pool.query(`drop trigger "${rows[0].name}" on ${first}`)
  expect(await errorOf(writer.pool.query(`insert into ${first} values (1, 1)`))).toMatchObject({ code: "SL022", message: expect.stringContaining("capture it again") })
  expect(await owner.client.admin.captureTable(first, { stream })).toBe(true)
  await writer.pool.query(`insert into ${first} values (1, 1)`)
})
