import { expect, test } from "vitest"
import { harness, inTransaction } from "./helpers/harness.ts"
import { freshStream } from "./helpers/recorded.ts"

const { client, pool } = await harness()
await pool.query(`create domain money_like as numeric(20, 2);
  create domain big_list as bigint[];
  create type mood as enum ('fine', 'Not so fine');
  create type point_of as (x bigint, y int, at timestamptz);
  create type nested as (p point_of, list numeric[], doc jsonb, moods mood[])`)
let tables = 0

/** What becomes of one value of a type, on its way through a captured table into an event. */
async function recorded(type: string, value: string): Promise<unknown> {
  const table = `typed${++tables}`
  const stream = await freshStream(client)
  await pool.query(`create table ${table} (v ${type})`)
  await client.admin.captureTable(table, { stream: stream.name, key: [] })
  await inTransaction(pool, async (tx) => {
    // A session writes the text of values as it likes; events do not depend on it.
    await tx.query("set local timezone = 'Asia/Kolkata'; set local bytea_output = escape; set local extra_float_digits = -15; set local intervalstyle = sql_standard; set local datestyle = 'German'")
    await tx.query(`insert into ${table} values (${value})`)
  })
  return ((await stream.news())[0]!.data as { v: unknown }).v
}

test.each<[type: string, value: string, expected: unknown]>([
  ["bigint", "9223372036854775807", "9223372036854775807"],
  ["bigint", "-9223372036854775808", "-9223372036854775808"],
  ["bigint", "0", "0"],
  ["bigint", "null", null],
  ["int", "-2147483648", -2147483648],
  ["smallint", "32767", 32767],
  ["numeric", "1.50", "1.50"],
  ["numeric", "0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001"],
  ["numeric", "123456789012345678901234567890.10", "123456789012345678901234567890.10"],
  ["numeric", "'NaN'", "NaN"],
  ["numeric", "'-Infinity'", "-Infinity"],
  ["numeric(10, 3)", "1.5", "1.500"],
  ["float8", "0.1", 0.1],
  ["float8", "1.7976931348623157e308", 1.7976931348623157e308],
  ["float8", "5e-324", 5e-324],
  ["float8", "3.141592653589793", Math.PI],
  ["float8", "'NaN'", "NaN"],
  ["float8", "'Infinity'", "Infinity"],
  ["float4", "0.1", 0.1],
  ["money", "12.5::money", "$12.50"],
  ["boolean", "true", true],
  ["text", "E'a\"\\\\\\tü\\n😀'", 'a"\\\tü\n😀'],
  ["text", "''", ""],
  ["text", "repeat('x', 100000)", "x".repeat(100000)],
  ["char(3)", "'a'", "a  "],
  ["bytea", "'\\x00ff5c'::bytea", "\\x00ff5c"],
  ["timestamptz", "'2026-02-03 04:05:06.123456+00'", "2026-02-03T04:05:06.123456+00:00"],
  ["timestamptz", "'infinity'", "infinity"],
  ["timestamptz", "'-infinity'", "-infinity"],
  ["timestamptz", "'0044-03-15 12:00:00+00 BC'", "0044-03-15T12:00:00+00:00 BC"],
  ["timestamp", "'2026-02-03 04:05:06'", "2026-02-03T04:05:06"],
  ["date", "'2026-02-03'", "2026-02-03"],
  ["date", "'infinity'", "infinity"],
  ["time", "'04:05:06.5'", "04:05:06.5"],
  ["interval", "'1 year 2 months 3 days 04:05:06'", "1 year 2 mons 3 days 04:05:06"],
  ["uuid", "'6A1F9B0E-0000-4000-8000-000000000001'", "6a1f9b0e-0000-4000-8000-000000000001"],
  ["inet", "'10.0.0.1/8'", "10.0.0.1/8"],
  ["point", "point(1, 2.5)", "(1,2.5)"],
  ["int4range", "'[1,5)'", "[1,5)"],
  ["int8multirange", "'{[1,5)}'", "{[1,5)}"],
  ["oid", "4294967295::oid", "4294967295"],
  ["xml", "'<a>1</a>'", "<a>1</a>"],
  ["mood", "'Not so fine'", "Not so fine"],
  ["json", `'{"b": 9007199254740993, "a": [1.50]}'`, { b: 9007199254740992, a: [1.5] }],
  ["jsonb", `'{"n": 1, "list": [1, 2.5, null]}'`, { n: 1, list: [1, 2.5, null] }],
  ["jsonb", "'5'", 5],
  ["jsonb", "'null'", null],
  ["jsonb[]", `array['{"n": 1}', '[1, 2]']::jsonb[]`, [{ n: 1 }, [1, 2]]],
  ["int[]", "'{1,null,3}'", [1, null, 3]],
  ["int[]", "'{}'", []],
  ["bigint[]", "'{1,null,9223372036854775807}'", ["1", null, "9223372036854775807"]],
  ["bigint[][]", "'{{1,2},{3,4}}'", [["1", "2"], ["3", "4"]]],
  ["numeric[]", "'{{{1.50}}}'", [[["1.50"]]]],
  ["text[]", `'{"a,b",NULL,"{}"}'`, ["a,b", null, "{}"]],
  ["mood[]", "'{fine}'", ["fine"]],
  ["money_like", "1", "1.00"],
  ["money_like[]", "'{1,2}'", ["1.00", "2.00"]],
  ["big_list", "'{1}'", ["1"]],
  ["big_list[]", "array['{1,2}'::big_list]", [["1", "2"]]],
  ["point_of", "row(9007199254740993, 2, '2026-02-03Z')", { x: "9007199254740993", y: 2, at: "2026-02-03T00:00:00+00:00" }],
  ["point_of[]", "array[row(1, 2, null)::point_of]", [{ x: "1", y: 2, at: null }]],
  ["nested", `row(row(1, 2, null), '{1.0}', '{"n": 1}', '{fine}')`, { p: { x: "1", y: 2, at: null }, list: ["1.0"], doc: { n: 1 }, moods: ["fine"] }],
])("a column of type %s that holds %s", async (type, value, expected) => {
  expect(await recorded(type, value)).toEqual(expected)
})

test("the text of numbers is the same in the key, in the row before, and in what expressions make of it", async () => {
  const stream = await freshStream(client)
  await pool.query("create table priced (price numeric primary key, at timestamptz, f float8)")
  await client.admin.captureTable("priced", { stream: stream.name, old: true, expressions: { extra3: "at", extra4: "f" } })
  await inTransaction(pool, async (tx) => {
    await tx.query("set local timezone = 'Asia/Kolkata'; set local extra_float_digits = -15; insert into priced values (1.50, '2026-01-01Z', 0.1 + 0.2); update priced set price = 1.500")
  })
  expect((await stream.news()).map(({ key, extra }) => [key, extra[1] && JSON.parse(extra[1]), extra[2], extra[3]])).toEqual([
    ["1.50", null, "2026-01-01 00:00:00+00", "0.3"],
    ["1.50", { price: "1.50", at: "2026-01-01T00:00:00+00:00", f: 0.3 }, "2026-01-01 00:00:00+00", "0.3"],
  ])
})

test("columns that come, go, are generated, or have names that need quotes", async () => {
  const stream = await freshStream(client)
  await pool.query(`create table "Odd ""Table" ("Id" int primary key, gone text, "select" int, "a.b" int generated always as ("select" * 2) stored, "ключ" text)`)
  await client.admin.captureTable('"Odd ""Table"', { stream: stream.name, key: ["Id", 'ключ'], ignore: ["select"], when: `"select" > 0`, expressions: { extra3: `r."ключ"` } })
  await pool.query(`insert into "Odd ""Table" values (1, 'g', 5, default, 'ü')`)
  await pool.query(`alter table "Odd ""Table" drop column gone, add column big bigint default 9007199254740993, add column "dropped" int; alter table "Odd ""Table" drop column "dropped"`)
  await pool.query(`insert into "Odd ""Table" values (2, 6, default, 'ä')`)
  expect((await stream.news()).map(({ type, key, data, extra }) => ({ type, key, data, extra }))).toEqual([
    { type: 'Odd "Table.insert', key: '["1", "ü"]', data: { Id: 1, gone: "g", "a.b": 10, ключ: "ü" }, extra: ['public.Odd "Table', null, "ü", null] },
    { type: 'Odd "Table.insert', key: '["2", "ä"]', data: { Id: 2, "a.b": 12, ключ: "ä", big: "9007199254740993" }, extra: ['public.Odd "Table', null, "ä", null] },
  ])
})
