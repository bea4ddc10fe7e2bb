import { describe, expect, test } from "vitest"
import { harness, inTransaction } from "./helpers/harness.ts"
import { freshStream } from "./helpers/recorded.ts"

const { client, pool } = await harness()
let tables = 0

/** A captured table of its own with the columns `id, name, total`, and the events of it as type, key, data, extra. */
async function captured(options: object = {}, columns = "id int primary key, name text, total bigint") {
  const table = `t${++tables}`
  const stream = await freshStream(client)
  await pool.query(`create table ${table} (${columns})`)
  expect(await client.admin.captureTable(table, { stream: stream.name, ...options })).toBe(false)
  return {
    table,
    stream: stream.name,
    run: async (text: string) => {
      await pool.query(text.replaceAll("TABLE", table))
      return (await stream.news()).map(({ type, key, data, extra }) => ({ type: type.replace(`${table}.`, ""), key, data, extra }))
    },
  }
}

describe("a captured table tells", () => {
  test("of an insert, an update, a delete and a truncate, in the shape of its rows", async () => {
    const { table, run } = await captured()
    const extra = [`public.${table}`, null, null, null]
    expect(await run("insert into TABLE values (1, 'a', 9007199254740993)")).toEqual([{ type: "insert", key: "1", data: { id: 1, name: "a", total: "9007199254740993" }, extra }])
    expect(await run("update TABLE set name = null")).toEqual([{ type: "update", key: "1", data: { id: 1, name: null, total: "9007199254740993" }, extra }])
    expect(await run("delete from TABLE")).toEqual([{ type: "delete", key: "1", data: { id: 1, name: null, total: "9007199254740993" }, extra }])
    expect(await run("truncate TABLE")).toEqual([{ type: "truncate", key: null, data: null, extra }])
  })

  test("of every row of a statement, in order, and of none that did not change", async () => {
    const { run } = await captured()
    expect((await run("insert into TABLE select i, 'n' || i, i from generate_series(1, 5) i")).map(({ key }) => key)).toEqual(["1", "2", "3", "4", "5"])
    expect(await run("update TABLE set total = 0 where id > 5")).toEqual([])
    expect(await run("update TABLE set total = total")).toHaveLength(5)
  })

  test("of an update of the key by the key before it, and the row after it", async () => {
    const { run } = await captured({ old: true })
    await run("insert into TABLE values (1, 'a', 5)")
    const [event] = await run("update TABLE set id = 2")
    expect(event).toMatchObject({ type: "update", key: "1", data: { id: 2 } })
    expect(JSON.parse(event!.extra[1]!)).toEqual({ id: 1, name: "a", total: "5" })
  })

  test("by a composite key, whose order is the primary key's", async () => {
    const { run } = await captured({}, "b text, a bigint, n int, primary key (b, a)")
    expect((await run("insert into TABLE values ('x', 7, 1)"))[0]).toMatchObject({ key: '["x", "7"]' })
  })

  test("by columns that are chosen, or by none", async () => {
    expect((await (await captured({ key: ["name"] })).run("insert into TABLE values (1, 'a', 1)"))[0]).toMatchObject({ key: "a" })
    expect((await (await captured({ key: ["name"] })).run("insert into TABLE values (1, null, 1)"))[0]).toMatchObject({ key: null })
    const { run } = await captured({ key: [] }, "n int")
    expect((await run("insert into TABLE values (1)"))[0]).toMatchObject({ key: null, data: { n: 1 } })
    expect((await run("update TABLE set n = 2; delete from TABLE")).map(({ type }) => type)).toEqual(["update", "delete"])
  })

  test("by the key of now where the primary key is not its first column", async () => {
    const { run } = await captured({}, "junk text, id uuid default '6a1f9b0e-0000-4000-8000-000000000001' primary key")
    expect((await run("insert into TABLE (junk) values ('x')"))[0]).toMatchObject({ key: "6a1f9b0e-0000-4000-8000-000000000001" })
  })
})

describe("options of a capture:", () => {
  test("ignored columns are left out, and an update of nothing else is no event", async () => {
    const { run } = await captured({ ignore: ["name"], old: true })
    await run("insert into TABLE values (1, 'a', 1)")
    expect(await run("update TABLE set name = 'b'")).toEqual([])
    const [event] = await run("update TABLE set name = 'c', total = 2")
    expect(event).toMatchObject({ data: { id: 1, total: "2" } })
    expect(JSON.parse(event!.extra[1]!)).toEqual({ id: 1, total: "1" })
    expect(await run("update TABLE set name = name")).toHaveLength(1) // changes nothing, and so not only what is ignored
    expect(await run("delete from TABLE")).toMatchObject([{ data: { id: 1, total: "2" } }])
  })

  test("only the columns that are named are recorded; an update of others is an event all the same", async () => {
    const { run } = await captured({ columns: ["id"], old: true })
    await run("insert into TABLE values (1, 'a', 1)")
    const [event] = await run("update TABLE set name = 'b'")
    expect(event).toMatchObject({ data: { id: 1 } })
    expect(event!.extra[1]).toBe('{"id": 1}')
  })

  test("when decides by the new row, of a delete by the old one, and unknown is no", async () => {
    const { run } = await captured({ when: "total > 10 -- large ones" })
    expect((await run("insert into TABLE values (1, 'a', 10), (2, 'b', 11), (3, 'c', null)")).map(({ key }) => key)).toEqual(["2"])
    expect((await run("update TABLE set total = 20 - total")).map(({ key }) => key)).toEqual([])
    expect((await run("update TABLE set total = 12 where id = 1; delete from TABLE")).map(({ type, key }) => `${type} ${key}`)).toEqual(["update 1", "delete 1"])
  })

  test("expressions replace parts of the event", async () => {
    const expressions = {
      type: "case when total > 5 then 'large' else 'small' end",
      data: "jsonb_build_object('sum', total * 2)",
      extra1: "name",
      extra2: "null",
      extra3: "r.id + 1",
      extra4: "format('%s;%s', name, total)",
    }
    const { table, run } = await captured({ expressions, old: true })
    expect(await run("insert into TABLE values (1, 'a', 5), (2, null, 6)")).toEqual([
      { type: "small", key: "1", data: { sum: 10 }, extra: ["a", null, "2", "a;5"] },
      { type: "large", key: "2", data: { sum: 12 }, extra: [null, null, "3", ";6"] },
    ])
    expect((await run("update TABLE set total = 1 where id = 2"))[0]).toMatchObject({ type: "small", extra: [null, null, "3", ";1"] })
    expect(await run("truncate TABLE")).toEqual([{ type: "truncate", key: null, data: null, extra: [`public.${table}`, null, null, null] }])
  })

  test("skip records the change instead of making it; what is not recorded is made", async () => {
    const { table, run } = await captured({ skip: true, when: "total < 100", ignore: ["name"] })
    expect((await run("insert into TABLE values (1, 'a', 1), (2, 'b', 100)")).map(({ key }) => key)).toEqual(["1"])
    expect(await run("update TABLE set total = 5 where id = 2")).toMatchObject([{ type: "update", key: "2", data: { id: 2, total: "5" } }])
    expect(await run("update TABLE set name = 'z', total = 200; delete from TABLE where id = 7")).toEqual([])
    expect((await pool.query(`select * from ${table}`)).rows).toEqual([{ id: 2, name: "z", total: "200" }])
    expect(await run("delete from TABLE")).toEqual([])
    expect((await pool.query(`select * from ${table}`)).rows).toEqual([])
  })

  test("deny refuses every change, and nothing of it is recorded", async () => {
    const { table, run } = await captured({ deny: true })
    for (const change of ["insert into TABLE values (1, 'a', 1)", "truncate TABLE"]) {
      await expect(run(change)).rejects.toMatchObject({ code: "SL022", message: `Changes of public.${table} are denied here.` })
    }
    await pool.query(`alter table ${table} disable trigger user; insert into ${table} values (1, 'a', 1); alter table ${table} enable trigger user`)
    for (const change of ["update TABLE set total = 2", "delete from TABLE"]) await expect(run(change)).rejects.toMatchObject({ code: "SL022" })
    expect(await run("select 1")).toEqual([])
  })
})

describe("a session of session_replication_role", () => {
  test.each(["local", "replica"])("%s records nothing, and is denied nothing", async (role) => {
    const { table, run } = await captured()
    const other = await captured({ deny: true, skip: true })
    await inTransaction(pool, async (tx) => {
      await tx.query(`set local session_replication_role = ${role}`)
      for (const name of [table, other.table]) {
        await tx.query(`insert into ${name} values (1, 'a', 1); update ${name} set total = 2; delete from ${name} where id = 2; truncate ${name}; insert into ${name} values (3, 'b', 2)`)
      }
    })
    expect((await pool.query(`select id from ${other.table}`)).rows).toEqual([{ id: 3 }])
    expect(await run("select 1")).toEqual([])
    expect(await other.run("select 1")).toEqual([])
  })
})

test("what is rolled back, to a savepoint or wholly, was never recorded", async () => {
  const { table, run } = await captured()
  await inTransaction(pool, async (tx) => {
    await tx.query(`insert into ${table} values (1, 'a', 1); savepoint s; insert into ${table} values (2, 'b', 1); rollback to s; insert into ${table} values (3, 'c', 1)`)
  })
  await inTransaction(pool, (tx) => tx.query(`delete from ${table}`), { end: "rollback" })
  expect((await run("select 1")).map(({ type, key }) => `${type} ${key}`)).toEqual(["insert 1", "insert 3"])
})
