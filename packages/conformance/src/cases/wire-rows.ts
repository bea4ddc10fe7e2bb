import { equal, equalRows } from "../assert.ts"
import type { ConformanceCase } from "../case.ts"
import { everyPath, knownStatement } from "./every-path.ts"

/** The shape of results, and what a name must not change. */
export const wireRows: readonly ConformanceCase[] = [
  knownStatement({
    name: "no parameters: values left out",
    text: "select 1::int4 as one, 'x'::text as x",
    rows: [{ one: 1, x: "x" }],
    rule: "one-statement",
  }),
  knownStatement({
    name: "no parameters: values empty",
    text: "select 1::int4 as one",
    values: [],
    rows: [{ one: 1 }],
    rule: "one-statement",
  }),
  // Core's own are of this kind, so that even a client that renames columns can be undone.
  knownStatement({
    name: "column names of one lower-case word are untouched",
    text: "select 1::int4 as id, 2::int4 as visibleat, 3::int4 as x1",
    rows: [{ id: 1, visibleat: 2, x1: 3 }],
    rule: "rows",
  }),
  knownStatement({
    name: "column names are untouched",
    text: `select 1::int4 as lower, 2::int4 as snake_case, 3::int4 as "camelCase", 4::int4 as "With Blank"`,
    rows: [{ lower: 1, snake_case: 2, camelCase: 3, "With Blank": 4 }],
    rule: "rows",
    needs: ["columnNames"],
  }),
  knownStatement({
    name: "no rows: []",
    text: "select $1::text as value where false",
    values: ["a"],
    rows: [],
    rule: "rows",
  }),
  knownStatement({ name: "a statement without a result: []", text: "do $$ begin end $$", rows: [], rule: "rows" }),
  {
    name: "insert, update and delete: [] without returning, rows with it",
    rule: "rows",
    async run({ exec, table }) {
      const name = await table("id int4, word text")
      equalRows(await exec(`insert into ${name} values (1, $1::text), (2, $1::text)`, ["a"]), [], "insert")
      const inserted = await exec(`insert into ${name} values (3, $1::text) returning id, word`, ["b"])
      equalRows(inserted, [{ id: 3, word: "b" }], "insert … returning")
      equalRows(await exec(`update ${name} set word = 'c' where id = 9 returning id`), [], "update of no row")
      equalRows(await exec(`delete from ${name} where id = 3 returning id`), [{ id: 3 }], "delete … returning")
    },
  },
  {
    name: "many rows, in order",
    rule: "rows",
    async run(context) {
      const text = "select n::int4 as n, 'row ' || n as word from generate_series(1, $1::int4) n order by n"
      await everyPath(context, text, [10_000], (rows, path) => {
        const all = rows as { n: number; word: string }[]
        equal(all.length, 10_000, `${path}: the number of rows`)
        equalRows(
          [all[0], all[9_999]],
          [
            { n: 1, word: "row 1" },
            { n: 10_000, word: "row 10000" },
          ],
          path,
        )
      })
    },
  },
  {
    name: "many parameters",
    rule: "values-in",
    async run(context) {
      const values = Array.from({ length: 1_000 }, (_, i) => `v${i}`)
      const text = `select array_to_string(array[${values.map((_, i) => `$${i + 1}::text`).join(", ")}], '') as joined`
      await everyPath(context, text, values, (rows, path) => equalRows(rows, [{ joined: values.join("") }], path))
    },
  },
  {
    name: "two names for one text, one text under no name",
    rule: "names",
    async run({ driver, unique }) {
      const [first, second] = [unique("first"), unique("second")]
      const text = "select $1::int4 as value"
      for (const name of [first, second, undefined, second, first]) {
        equalRows(await driver.query(text, [7], { name }), [{ value: 7 }], `name ${name}`)
      }
    },
  },
  {
    name: "two texts under two names do not mix",
    rule: "names",
    async run({ driver, unique }) {
      const [first, second] = [unique("first"), unique("second")]
      for (let round = 0; round < 3; round++) {
        equalRows(await driver.query("select 1::int4 as one", [], { name: first }), [{ one: 1 }], "the first")
        equalRows(await driver.query("select 'b'::text as two", [], { name: second }), [{ two: "b" }], "the second")
      }
    },
  },
  {
    name: "a name survives a change of the table's other columns",
    rule: "names",
    async run({ driver, table, unique }) {
      const [name, options] = [await table("id int4"), { name: unique("select") }]
      const text = `select id from ${name} where id = $1::int4`
      await driver.query(`insert into ${name} values (1)`)
      equalRows(await driver.query(text, [1], options), [{ id: 1 }], "before")
      await driver.query(`alter table ${name} add column word text`)
      equalRows(await driver.query(text, [1], options), [{ id: 1 }], "after")
    },
  },
  {
    name: "queries issued together each get their own rows",
    rule: "rows",
    async run({ driver }) {
      const numbers = Array.from({ length: 25 }, (_, i) => i)
      const rows = await Promise.all(numbers.map((n) => driver.query("select $1::int4 as n", [n])))
      equal(
        rows.map((row) => ({ ...(row[0] as object) })),
        numbers.map((n) => ({ n })),
        "25 at once",
      )
    },
  },
]
