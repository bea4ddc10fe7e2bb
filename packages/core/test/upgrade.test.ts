import { readFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { createClient, WrongKindError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { databasePerFile } from "@sluice/testkit/vitest"
import { afterAll, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { openPool } from "./helpers/harness.ts"

interface OldMigration {
  readonly version: number
  readonly name: string
  readonly breaking: boolean
  readonly statements: readonly string[]
}

const { url } = await databasePerFile()
const pool = openPool(url)
const client = createClient(pgDriver(pool), { listen: false, notify: false })
afterAll(() => pool.end())

/** What version 7 installed, the first that anybody could have: its functions were migrations. */
async function installVersion7(): Promise<void> {
  const packed = readFileSync(join(import.meta.dirname, "fixtures/version-7.json.gz"))
  await pool.query("create schema sluice")
  for (const { version, name, breaking, statements } of JSON.parse(gunzipSync(packed).toString()) as OldMigration[]) {
    for (const statement of statements) await pool.query(statement.replaceAll("{schema}", "sluice"))
    await pool.query("insert into sluice.migration (version, name, breaking) values ($1, $2, $3)", [version, name, breaking])
  }
}

test("an installation of version 7 comes up to date with everything in it, and is what a fresh one is", async () => {
  await installVersion7()
  await pool.query(`select sluice.create_queue('dead'), sluice.create_queue('old', '{"levels": 2, "maxAttempts": 3, "deadLetter": "dead"}')`)
  await pool.query("select sluice.send('old', to_jsonb(n)) from generate_series(1, 5) n")
  await pool.query("select sluice.send('old', '6', delay => '1 hour')")
  const { rows } = await pool.query<{ id: string; lease: string }>(`select * from sluice.read('old', "limit" => 2)`)
  await pool.query("select sluice.archive('old', $1, $2)", [rows[0]!.id, rows[0]!.lease])

  const { to } = await client.admin.install()
  expect(await client.admin.install()).toEqual({ from: to, to })
  expect(to).toBeGreaterThan(7)
  expect(await client.admin.verify()).toEqual({ ok: true, differences: [] })

  const queue = client.queue("old")
  expect(await client.admin.getQueue("old")).toMatchObject({ levels: 2, maxAttempts: 3, deadLetter: "dead", storage: "shared", partition: null, archiveRetention: null })
  expect(await queue.metrics()).toMatchObject({ length: 5, visible: 3, inFlight: 1, delayed: 1, total: 6 })
  await queue.delete({ id: rows[1]!.id, lease: rows[1]!.lease })
  expect((await queue.readBatch({ limit: 10 })).map(({ payload }) => payload)).toEqual([3, 4, 5])
  expect(await client.admin.archive.count({ queue: "old" })).toBe(1)
  expect(await client.maintenance().run()).toMatchObject({ ran: true, refused: 0 })

  await client.admin.createStream("new")
  await client.admin.createSubscription("new", "test")
  await pool.query("create table noted (id bigint primary key)")
  await client.admin.captureTable("noted", { stream: "new" })
  await pool.query("insert into noted values (1)")
  expect(await (await client.stream("new").subscription("test").nextBatch())!.list()).toMatchObject([{ type: "noted.insert", data: { id: "1" } }])
  await client.admin.dropQueue("dead", { force: true })
  expect(await errorOf(client.admin.createStream("old"))).toBeInstanceOf(WrongKindError)
  expect(await client.admin.verify()).toEqual({ ok: true, differences: [] })
})

test("an upgrade brings new functions to dedicated storages too, and to the roles", async () => {
  const schema = "later"
  const own = createClient(pgDriver(pool), { schema, listen: false, notify: false })
  const role = `later_${Math.random().toString(36).slice(2)}`
  await own.admin.install({ roles: { producer: role } })
  await own.admin.createQueue("apart", { storage: "dedicated" })
  await own.queue("apart").send("before")
  const { rows } = await pool.query<{ text: string }>(`select pg_get_functiondef(to_regproc('later.try_read_s1')) as text`)
  await pool.query(`create or replace function later.lock_ready_s1(q later.queue, p_live smallint[], p_limit int, p_now timestamptz, p_filter jsonb)
    returns bigint[] language sql as $$ select '{}'::bigint[] $$`)
  await pool.query(`revoke all on all functions in schema later from ${role}`)
  expect(await own.queue("apart").read()).toBeNull()

  // As if the version before had left it like that: the newest one changes nothing but functions when it is run again.
  for (const statement of own.admin.migrations().at(-1)!.statements.filter((text) => /^(\/\*[\s\S]*?\*\/\s*)?(create or replace function|do )/.test(text) && !text.includes("alter table"))) await pool.query(statement)
  expect(await own.queue("apart").read()).toMatchObject({ payload: "before" })
  expect((await pool.query(`select pg_get_functiondef(to_regproc('later.try_read_s1')) as text`)).rows).toEqual(rows)
  expect((await pool.query(`select has_function_privilege($1, oid, 'execute') as may from pg_proc where oid = to_regproc('later.try_send')`, [role])).rows).toEqual([{ may: true }])
  await own.admin.uninstall({ confirm: schema })
  await pool.query(`drop role if exists ${role}, later_consumer, later_reader, later_admin`)
})
