import { createClient, SchemaVersionError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { databasePerFile } from "@sluice/testkit/vitest"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { openPool } from "./helpers/harness.ts"
import { dropRoles, type Login, openLogin } from "./helpers/logins.ts"

const kinds = ["producer", "consumer", "reader", "admin"] as const
const { url, name: database } = await databasePerFile()
const suffix = database.slice(-8)
const schema = `safe_${suffix}`
const owner = openPool(url, 4)
afterAll(async () => {
  await dropRoles(owner, kinds.map((kind) => `${schema}_${kind}`))
  await owner.end()
})
const installed = createClient(pgDriver(owner), { schema, listen: false, notify: false })
await installed.admin.install({ roles: true })
await owner.query(`grant create, temporary on database ${database} to public`)
const everyRole = kinds.map((kind) => `${schema}_${kind}`)
let made = 0
const freshQueue = async (options = {}): Promise<string> => (await installed.admin.createQueue(`q.${++made}`, options)).name
const login = (name: string, options = {}): Promise<Login> => openLogin(owner, url, `${name}_${suffix}`, { schema, of: everyRole, ...options })

describe("a login with every role takes over nothing by its own objects", () => {
  let thief: Login
  beforeAll(async () => {
    thief = await login("thief")
    await owner.query("create table public.loot (who text, at text)")
    await owner.query("grant insert, select on public.loot to public")
  })
  beforeEach(async () => void (await owner.query("truncate public.loot")))
  /** What reaches into the schema as its owner would leave its name here. */
  const trap = `create function pg_temp.trap() returns int language plpgsql as $$
    begin
      if current_user <> session_user then insert into public.loot values (current_user, pg_catalog.current_query()); end if;
      return 1;
    end $$;
    create function pg_temp.trigger_trap() returns trigger language plpgsql as $$ begin perform pg_temp.trap(); return null; end $$;`
  const loot = async (): Promise<unknown[]> => (await owner.query("select * from public.loot")).rows

  /** A temporary table that calls the trap whatever is done to it, or a view that does so when it is read. */
  const tableTrap = (name: string): string => `
    create temporary table ${name} (segment smallint default 0, queue int default 1, id bigint default 1, vt timestamptz default now(), archived_at timestamptz default now(), lease bigint, note text default repeat('x', 100));
    insert into ${name} default values;
    alter table ${name} enable row level security;
    create policy trap on ${name} for all to public using (pg_temp.trap() = 1);
    create trigger row_trap before insert or update or delete on ${name} for each statement execute function pg_temp.trigger_trap();
    create trigger truncate_trap before truncate on ${name} for each statement execute function pg_temp.trigger_trap();
    grant all on ${name} to public;`
  const viewTrap = (name: string): string => `
    create temporary view ${name} as select pg_temp.trap() as queue, 1::bigint as id, 0::smallint as segment, now() as vt, now() as archived_at, null::bigint as lease, 1 as last_value, true as is_called;
    grant all on ${name} to public;`

  async function underTraps(traps: string, calls: readonly string[]): Promise<void> {
    const connection = await thief.pool.connect()
    await connection.query(trap + traps)
    for (const call of calls) await connection.query(call).catch(() => undefined)
    connection.release(true)
    expect(await loot()).toEqual([])
  }

  test("temporary tables called like Sluice's", async () => {
    const queue = await freshQueue()
    const tables = ["queue", "message", "message_0", "message_1", "archive", "archive_default", "segment", "floor", "storage", "role", "migration"]
    await underTraps(tables.map(tableTrap).join("\n"), [
      `select ${schema}.send('${queue}', '1')`,
      `select ${schema}.archive('${queue}', id, lease) from ${schema}.read('${queue}')`,
      `select ${schema}.metrics('${queue}')`,
      `select ${schema}.try_list_archive(null, '${queue}', null, null, 10)`,
      `select ${schema}.purge('${queue}')`,
    ])
    expect(await installed.admin.archive.count({ queue })).toBe(1)
  })

  test.each([["table", tableTrap], ["view", viewTrap]])("a temporary %s called like a partition that is not there", async (_kind, made) => {
    const calls = ["drop", "make", "move"].flatMap((step) => [7, 99_999_999].map((n) => `select ${schema}.partition_step('${step}', 'archive', ${n})`))
    await underTraps(made("archive_p7") + made("archive_p99999999"), calls)
  })

  test("a temporary table called like a segment that is not there", async () => {
    await freshQueue({ partition: { by: "id", interval: 10, retention: 10 } })
    const { rows } = await owner.query<{ id: number }>(`select max(id) as id from ${schema}.storage`)
    const id = rows[0]!.id
    await underTraps(tableTrap(`message_s${id}_1`), [
      `delete from message_s${id}_1`,
      `select ${schema}.flip_step(${id}, -1, '-1 day')`,
      `select ${schema}.maintain('0', 0, -1, '0')`,
    ])
  })

  test.each([["table", tableTrap], ["view", viewTrap]])("a temporary %s called like that of a storage that is gone", async (_kind, made) => {
    const queue = await freshQueue({ storage: "dedicated" })
    const { rows } = await owner.query<{ storage: number }>(`select storage from ${schema}.queue where name = '${queue}'`)
    const id = rows[0]!.storage
    // As a look-up of the queue finds it that was overtaken by a drop.
    await owner.query(`select ${schema}.drop_storage(${id}, false)`)
    const calls = ["metrics('%')", "purge('%')", "admin_delete('%', 1)", "admin_archive('%', 1)", "admin_set_vt('%', 1, '1s')", "send('%', '1')", "read('%')", "try_list_messages(null, '%', null, null, 10)"]
    await underTraps(made(`message_s${id}`) + made(`sent_${id}`), calls.map((call) => `select ${schema}.${call.replace("%", queue)}`))
    await owner.query(`update ${schema}.queue set dropped_at = now() where name = '${queue}'`)
  })

  test("functions and operators in a schema that is first in its search_path", async () => {
    const queue = await freshQueue()
    await thief.pool.query(`create schema evil authorization current_user`)
    const connection = await thief.pool.connect()
    await connection.query(trap.replaceAll("pg_temp.", "evil."))
    const functions = ["clock()", "greatest(timestamptz, timestamptz)", "format(text, text)", "new_lease()", "message_table(int)", "hold_storage(int)", "now()", "nextval(regclass)", "jsonb_build_object(text, text)"]
    for (const f of functions) await connection.query(`create function evil.${f.replace("greatest", '"greatest"')} returns int language sql as 'select evil.trap()'`).catch(() => undefined)
    await connection.query(`create function evil.same(text, text) returns boolean language sql as 'select evil.trap() = 1'`)
    await connection.query(`create operator evil.= (leftarg = text, rightarg = text, function = evil.same)`)
    await connection.query(`create function evil.contains(jsonb, jsonb) returns boolean language sql as 'select evil.trap() = 1'`)
    await connection.query(`create operator evil.@> (leftarg = jsonb, rightarg = jsonb, function = evil.contains)`)
    await connection.query("set search_path = evil, pg_catalog")
    await connection.query(`select ${schema}.send('${queue}', '{"a": 1}')`)
    const { rows } = await connection.query(`select * from ${schema}.read('${queue}', filter => '{"payload": {"a": 1}}')`)
    expect(rows).toMatchObject([{ payload: { a: 1 } }])
    await connection.query(`select ${schema}.delete('${queue}', ${rows[0].id}, ${rows[0].lease})`)
    await connection.query(`select ${schema}.metrics()`)
    expect(await loot()).toEqual([])
    connection.release(true)
  })

  test("names and options that are SQL", async () => {
    const bad = [`x"; drop table ${schema}.message; --`, "x'; select pg_sleep(5); --", "x\\", "$1", "a b"]
    const state = async (text: string, value: string): Promise<string> => (await errorOf(thief.pool.query(text, [value]))).code!
    for (const name of bad) {
      expect(await state(`select ${schema}.create_queue($1)`, name)).toBe("22023")
      expect(await state(`select ${schema}.send($1, '1')`, name)).toBe("SL001")
      expect(await state(`select ${schema}.update_queue($1, '{"levels": 2}')`, name)).toBe("SL001")
      const { rows } = await thief.pool.query(`select ${schema}.partition_step($1, $1, 1) as a, ${schema}.partition_step('drop', $1, 1) as b, ${schema}.drop_queue($1) as c`, [name])
      expect(rows).toEqual([{ a: { did: "nothing" }, b: { did: "nothing" }, c: false }])
      const options = JSON.stringify({ partition: { by: "id", interval: name, retention: 1 } })
      expect(await state(`select ${schema}.create_queue('fine', $1)`, options)).toBe("22023")
    }
  })

  test("steps of maintenance that are not due: no range is made or dropped ahead of its time", async () => {
    const count = async (): Promise<number> => (await owner.query("select from pg_class where relname like 'archive_p%'")).rowCount!
    await installed.maintenance().run()
    const before = await count()
    const today = Math.floor(Date.now() / 86_400_000)
    for (const step of ["make", "move", "drop", "MAKE", "", null]) {
      for (const n of [today + 400, today + 3, today - 1, today - 400, -1, null, 9_000_000_000_000]) {
        const { rows } = await thief.pool.query(`select ${schema}.partition_step($1, 'archive', $2) as done`, [step, n])
        expect(rows, `${step} ${n}`).toEqual([{ done: { did: "nothing" } }])
      }
    }
    expect(await count()).toBe(before)
  })
})

describe("whatever its session is set to", () => {
  /** Messages that no range took: its bounds were not what they should be. */
  async function inDefaultPartitions(): Promise<number> {
    const { rows } = await owner.query<{ name: string }>(`select oid::regclass::text as name from pg_class where relname ~ '^message_s.*_default$' and relkind = 'r'`)
    const counts = await Promise.all(rows.map(({ name }) => owner.query<{ n: number }>(`select count(*)::int as n from only ${name}`)))
    return counts.reduce((sum, { rows: [row] }) => sum + row!.n, 0)
  }

  test.each<Record<string, string>>([
    { search_path: "public, pg_temp" },
    { row_security: "off" },
    { quote_all_identifiers: "on" },
    { standard_conforming_strings: "off" },
    { DateStyle: "'SQL, DMY'", TimeZone: "'Asia/Kolkata'" },
    { DateStyle: "'German'", IntervalStyle: "sql_standard", TimeZone: "'America/St_Johns'" },
    { enable_indexscan: "off", enable_partition_pruning: "off", plan_cache_mode: "force_custom_plan", transform_null_equals: "on" },
    { default_transaction_isolation: "serializable", default_transaction_deferrable: "on" },
  ])("%j: queues of every storage work", async (settings) => {
    const { client } = await login(`hostile_${++made}`, { settings })
    const storages = [
      {},
      { storage: "dedicated" },
      { storage: "unlogged" },
      { partition: { by: "id", interval: 2, retention: 4 } },
      { partition: { by: "time", interval: "1h", retention: "7d", archive: true } },
    ] as const
    for (const options of storages) {
      const { name } = await client.admin.createQueue(`hostile.${++made}`, { ...options, lease: "90s", maxAttempts: 2 })
      const queue = client.queue(name)
      const sent = await queue.sendBatch([1, 2, 3, 4, 5, 6].map((payload) => ({ payload })))
      expect(await inDefaultPartitions()).toBe(0)
      const held = await queue.readBatch({ limit: 2 })
      expect(held.map(({ id }) => id)).toEqual(sent.slice(0, 2))
      await queue.archive(held[0]!)
      await queue.delete(held[1]!)
      expect((await queue.pop())?.payload).toBe(3)
      expect(await queue.metrics()).toMatchObject({ length: 3, visible: 3 })
      expect(await client.admin.archive.count({ queue: name })).toBe(1)
      expect((await client.maintenance().run()).refused).toBe(0)
      expect((await queue.readBatch({ limit: 9 })).map(({ payload }) => payload)).toEqual([4, 5, 6])
      expect(await client.admin.dropQueue(name, { force: true })).toBe(true)
    }
    expect(await installed.admin.verify()).toEqual({ ok: true, differences: [] })
    const { rows } = await owner.query(`select count(*)::int as n from pg_class where relname ~ '^archive_p' and relkind = 'r' and relnamespace = '${schema}'::regnamespace`)
    expect([2, 3]).toContain(rows[0].n) // today's waits where something was archived before
  })
})

test("a role that misses a function learns of the other version, though it may not look into the table", async () => {
  const other = `old_${suffix}`
  const client = createClient(pgDriver(owner), { schema: other, listen: false, notify: false })
  const { to } = await client.admin.install({ roles: { producer: `${schema}_producer` } })
  afterAll(() => dropRoles(owner, ["consumer", "reader", "admin"].map((kind) => `${other}_${kind}`)))
  const sender = await openLogin(owner, url, `sender_${suffix}`, { schema: other, of: [`${schema}_producer`] })
  await owner.query(`insert into ${other}.migration (version, name, breaking) values (${to + 1}, 'later', true)`)
  await owner.query(`drop function ${other}.try_send`)
  const error = await errorOf(sender.client.queue("q").send(1))
  expect(error).toBeInstanceOf(SchemaVersionError)
  expect(error).toMatchObject({ installed: to + 1, expected: to })
})
