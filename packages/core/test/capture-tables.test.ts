import { InvalidOptionError, StreamInUseError, StreamNotFoundError, WrongKindError } from "@sluice/core"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { freshStream, type Recorded } from "./helpers/recorded.ts"

const { client, pool, freshQueue } = await harness()
const { admin } = client
const hasMerge = Number((await pool.query("select current_setting('server_version_num') as n")).rows[0].n) >= 150000

const short = async ({ news }: Recorded): Promise<string[]> => (await news()).map(({ type, key }) => `${type} ${key}`)
const triggersOf = async (table: string): Promise<number> => Number((await pool.query("select count(*) from pg_trigger where tgrelid = $1::regclass and not tgisinternal", [table])).rows[0].count)

/** A captured table that has a name, and its stream. */
async function table(name: string, columns = "id int primary key, n int"): Promise<Recorded> {
  const stream = await freshStream(client)
  await pool.query(`create table ${name} (${columns})`)
  await admin.captureTable(name, { stream: stream.name })
  return stream
}

test("captured by many at the same moment it is captured once", async () => {
  const stream = await freshStream(client)
  await pool.query("create table at_once (id int primary key)")
  const before = await Promise.all(Array.from({ length: 8 }, () => admin.captureTable("at_once", { stream: stream.name })))
  expect(before.filter((existed) => !existed)).toHaveLength(1)
  expect(await triggersOf("at_once")).toBe(3)
  await Promise.all(Array.from({ length: 8 }, () => admin.releaseTable("at_once", { stream: stream.name })))
  expect(await triggersOf("at_once")).toBe(0)
})

describe("every way of writing is recorded:", () => {
  test("upsert, merge and COPY", async () => {
    const stream = await table("ways")
    await pool.query("insert into ways values (1, 1), (2, 1)")
    await pool.query("insert into ways values (2, 2), (3, 2) on conflict (id) do update set n = excluded.n")
    await pool.query("insert into ways values (3, 9) on conflict do nothing")
    const merge = "merge into ways w using (values (1), (2), (4)) v(id) on v.id = w.id when matched and w.id = 1 then delete when matched then update set n = 7 when not matched then insert values (v.id, 0)"
    await pool.query(hasMerge ? merge : "delete from ways where id = 1; update ways set n = 7 where id = 2; insert into ways values (4, 0)")
    await pool.query("copy ways (id) from program 'echo 5; echo 6'")
    expect(await short(stream)).toEqual(["insert 1", "insert 2", "update 2", "insert 3", "delete 1", "update 2", "insert 4", "insert 5", "insert 6"].map((text) => `ways.${text}`))
  })

  test("cascades of foreign keys", async () => {
    const stream = await table("parents")
    await pool.query("create table children (id int primary key, parent int references parents on update cascade on delete cascade, other int references parents on delete set null)")
    await admin.captureTable("children", { stream: stream.name })
    await pool.query("insert into parents values (1), (2); insert into children values (10, 1, 2), (11, 2, 1)")
    await stream.news()
    await pool.query("update parents set id = 3 where id = 1").catch(() => {}) // other has no cascade
    await pool.query("delete from parents where id = 1")
    expect(new Set(await short(stream))).toEqual(new Set(["parents.delete 1", "children.delete 10", "children.update 11"]))
  })

  test("deferred triggers at the commit", async () => {
    const stream = await table("late")
    await pool.query(`create table early (id int); create function write_late() returns trigger language plpgsql as 'begin insert into late values (new.id); return new; end';
      create constraint trigger later after insert on early deferrable initially deferred for each row execute function write_late()`)
    await inTransaction(pool, async (tx) => tx.query("insert into early values (1), (2); insert into late values (0)"))
    expect(await short(stream)).toEqual(["late.insert 0", "late.insert 1", "late.insert 2"])
  })

  test("triggers of one's own that write to other captured tables, and change the row", async () => {
    const stream = await table("outer_table")
    await pool.query("create table inner_table (id int primary key, n int)")
    await admin.captureTable("inner_table", { stream: stream.name })
    await pool.query(`create function change_row() returns trigger language plpgsql as 'begin new.n := 42; return new; end';
      create trigger a_change before insert on outer_table for each row execute function change_row();
      create function write_inner() returns trigger language plpgsql as 'begin insert into inner_table values (new.id, new.n); return new; end';
      create trigger a_write after insert on outer_table for each row execute function write_inner();
      create trigger z_write after update on outer_table for each row execute function write_inner()`)
    await pool.query("insert into outer_table values (1), (2)")
    expect((await stream.news()).map(({ type, data }) => [type, data])).toEqual([1, 2].flatMap((id) => ["inner_table", "outer_table"].map((name) => [`${name}.insert`, { id, n: 42 }])))
    await pool.query("delete from inner_table; update outer_table set n = 1")
    expect((await short(stream)).filter((text) => /update|insert/.test(text))).toEqual(["outer_table.update 1", "inner_table.insert 1", "outer_table.update 2", "inner_table.insert 2"])
  })

  test("partitions: by their parent's name, those of later too; a move between two is a delete and an insert", async () => {
    const stream = await freshStream(client)
    await pool.query("create table parts (id int, n bigint, primary key (id, n)) partition by range (id); create table parts_1 partition of parts for values from (0) to (10)")
    await admin.captureTable("parts", { stream: stream.name })
    await pool.query("create table odd (n bigint not null, junk int, id int not null); alter table odd drop column junk; alter table parts attach partition odd for values from (10) to (20)")
    await pool.query("insert into parts values (1, 1), (11, 2); insert into odd (id, n) values (12, 3); update parts set id = 2 where id = 1; update parts set id = 13 where id = 2; truncate parts")
    const events = await stream.news()
    expect(events.map(({ type, key }) => `${type} ${key}`)).toEqual(['insert ["1", "1"]', 'insert ["11", "2"]', 'insert ["12", "3"]', 'update ["1", "1"]', 'delete ["2", "1"]', 'insert ["13", "1"]', "truncate null"].map((text) => `parts.${text}`))
    expect(events[1]).toMatchObject({ data: { id: 11, n: "2" }, extra: ["public.parts", null, null, null] })
    const error = await errorOf<InvalidOptionError>(admin.captureTable("parts_1", { stream: stream.name }))
    expect(error).toMatchObject({ field: "table", message: expect.stringContaining("is captured already, as public.parts is") })
    expect(await admin.releaseTable("parts", { stream: stream.name })).toBe(true)
    expect(await admin.captureTable("parts_1", { stream: stream.name })).toBe(false)
    expect(await errorOf(admin.captureTable("parts", { stream: stream.name }))).toMatchObject({ field: "table", message: expect.stringContaining("as public.parts_1 is") })
  })

  test("temporary tables, and tables of other schemas that the search_path finds", async () => {
    const stream = await freshStream(client)
    await pool.query(`create schema "Other Place"; create table "Other Place".things (id int primary key)`)
    await inTransaction(pool, async (tx) => {
      await tx.query(`create temporary table passing (id int primary key) on commit drop; set local search_path = "Other Place"`)
      await admin.captureTable("passing", { stream: stream.name, tx })
      await admin.captureTable("things", { stream: stream.name, tx })
      await tx.query("insert into passing values (1); insert into things values (2)")
    })
    await pool.query(`insert into "Other Place".things values (3)`)
    expect(await short(stream)).toEqual(["passing.insert 1", "things.insert 2", "things.insert 3"])
    expect(await errorOf(admin.captureTable("things", { stream: stream.name }))).toMatchObject({ field: "table" })
    expect(await admin.captureTable('"Other Place".things', { stream: stream.name })).toBe(true)
  })
})

describe("a capture", () => {
  test("that is made again replaces the one before; releaseTable ends it, once", async () => {
    const stream = await table("again")
    expect(await admin.captureTable("again", { stream: stream.name, expressions: { type: "'other'" } })).toBe(true)
    expect(await triggersOf("again")).toBe(3)
    await pool.query("insert into again values (1)")
    expect(await short(stream)).toEqual(["other 1"])
    expect(await admin.releaseTable("again", { stream: stream.name })).toBe(true)
    expect(await admin.releaseTable("again", { stream: stream.name })).toBe(false)
    expect(await triggersOf("again")).toBe(0)
    await pool.query("insert into again values (2)")
    expect(await short(stream)).toEqual([])
  })

  test("in a transaction that rolls back never was", async () => {
    const stream = await freshStream(client)
    await pool.query("create table undone (id int primary key)")
    await inTransaction(pool, (tx) => admin.captureTable("undone", { stream: stream.name, tx }), { end: "rollback" })
    expect(await triggersOf("undone")).toBe(0)
  })

  test("of one table by two streams is two, each with its own options", async () => {
    const one = await table("twice")
    const two = await freshStream(client)
    await admin.captureTable("twice", { stream: two.name, when: "id > 1", expressions: { type: "'big'" } })
    await pool.query("insert into twice values (1), (2)")
    expect(await short(one)).toEqual(["twice.insert 1", "twice.insert 2"])
    expect(await short(two)).toEqual(["big 2"])
    await admin.releaseTable("twice", { stream: one.name })
    await pool.query("delete from twice")
    expect([await short(one), await short(two)]).toEqual([[], ["big 2"]])
  })

  test("goes on under its name where the table is renamed, moved or copied", async () => {
    const stream = await table("before_rename")
    await pool.query("alter table before_rename rename to after_rename; create schema elsewhere; alter table after_rename set schema elsewhere; insert into elsewhere.after_rename values (1)")
    expect(await stream.news()).toMatchObject([{ type: "before_rename.insert", extra: ["public.before_rename", null, null, null] }])
    await pool.query("create table copied (like elsewhere.after_rename including all); insert into copied values (1)")
    expect(await short(stream)).toEqual([])
    await admin.captureTable("elsewhere.after_rename", { stream: stream.name })
    await pool.query("delete from elsewhere.after_rename")
    expect(await stream.news()).toMatchObject([{ type: "after_rename.delete", extra: ["elsewhere.after_rename", null, null, null] }])
  })

  test("keeps its stream from being dropped; after a drop by force writes go on, and nothing is recorded, nor by a new stream of the name", async () => {
    const { name } = await table("kept")
    await admin.dropSubscription(name, "test")
    const error = await errorOf<StreamInUseError>(admin.dropStream(name))
    expect(error).toBeInstanceOf(StreamInUseError)
    expect(error).toMatchObject({ stream: name, subscriptions: [], tables: ["public.kept"] })
    expect(error.message).toContain("records the changes of public.kept")
    expect(await admin.dropStream(name, { force: true })).toBe(true)
    await pool.query("insert into kept values (1)")
    await admin.createStream(name)
    await pool.query("update kept set n = 1; truncate kept")
    expect(await admin.getStreamInfo(name)).toMatchObject({ published: 0 })
    expect(await admin.dropStream(name)).toBe(true)
    expect(await admin.releaseTable("kept", { stream: name })).toBe(true)
    expect(await errorOf(admin.releaseTable("kept", { stream: name }))).toBeInstanceOf(StreamNotFoundError)
    expect(await triggersOf("kept")).toBe(0)
  })

  test("of a closed stream, or beyond its limit, fails the write", async () => {
    const { name } = await table("strict")
    await admin.updateStream(name, { maxEventsPerTransaction: 2 })
    expect(await errorOf(pool.query("insert into strict select generate_series(1, 3)"))).toMatchObject({ code: "SL019" })
    await admin.updateStream(name, { maxEventsPerTransaction: null, closed: true })
    expect(await errorOf(pool.query("insert into strict values (1)"))).toMatchObject({ code: "SL018" })
    expect((await pool.query("select from strict")).rowCount).toBe(0)
  })
})

describe("a capture is refused", () => {
  test.each<[string, string, string, object]>([
    ["of a table that there is not", "nowhere", "table", {}],
    ["of a name that is none", "a..b", "table", {}],
    ["of a view", "some_view", "table", { key: [] }],
    ["of a table of Sluice's", "sluice.message", "table", {}],
    ["of a table without a primary key", "keyless", "key", {}],
    ["by a key that is no column", "keyless", "columns", { key: ["x"] }],
    ["by a key that is a system's column", "keyless", "columns", { key: ["ctid"] }],
    ["that ignores what is no column", "keyless", "columns", { key: [], ignore: ["N"] }],
    ["of columns that are none", "keyless", "columns", { key: [], columns: ["n", "m"] }],
    ["when nobody knows", "keyless", "when", { key: [], when: "m > 1" }],
    ["when it is no condition", "keyless", "when", { key: [], when: "array[n]" }],
    ["when it ends the statement", "keyless", "when", { key: [], when: "true; drop table keyless" }],
    ["with a type that does not compile", "keyless", "expressions.type", { key: [], expressions: { type: "n ||" } }],
    ["with a function that is not qualified", "keyless", "expressions.extra4", { key: [], expressions: { extra4: "mine(n)" } }],
  ])("%s", async (_, name, field, options) => {
    await pool.query("create table if not exists keyless (n int); create or replace view some_view as select 1 as id; create or replace function mine(n int) returns int language sql return n")
    const { name: stream } = await freshStream(client)
    const error = await errorOf<InvalidOptionError>(admin.captureTable(name, { stream, ...options }))
    expect(error, error.stack).toBeInstanceOf(InvalidOptionError)
    expect(error.field).toBe(field)
  })

  test("into what is no stream", async () => {
    await pool.query("create table homeless (id int primary key)")
    expect(await errorOf(admin.captureTable("homeless", { stream: "nowhere" }))).toBeInstanceOf(StreamNotFoundError)
    expect(await errorOf(admin.captureTable("homeless", { stream: await freshQueue() }))).toBeInstanceOf(WrongKindError)
    expect(await errorOf(admin.releaseTable("homeless", { stream: "nowhere" }))).toBeInstanceOf(StreamNotFoundError)
  })
})
