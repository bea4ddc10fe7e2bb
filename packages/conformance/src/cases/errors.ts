import { equalRows, ok, rejects, rejectsWith } from "../assert.ts"
import type { ConformanceCase } from "../case.ts"
import { messagesOf } from "../sql-state.ts"

const raise = "do $$ begin raise exception 'refused by the rule' using errcode = 'SL001'; end $$"

/** One failing statement, and the SQLSTATE that core must find. `%t` is a table of the case's own. */
function fails(name: string, state: string, text: string): ConformanceCase {
  return {
    name: `${name} rejects with ${state}`,
    rule: "own-errors",
    async run({ driver, table, unique }) {
      const t = await table("id int4 primary key, n int4 not null check (n > 0), parent int4")
      await driver.query(`alter table ${t} add foreign key (parent) references ${t}`)
      await driver.query(`insert into ${t} values (1, 1)`)
      const statement = text.replaceAll("%t", t)
      const options = { name: unique("failing") }
      await rejectsWith(driver.query(statement), state, `query(): ${statement}`)
      await rejectsWith(driver.query(statement, [], options), state, `query() with a name: ${statement}`)
      await rejectsWith(driver.query(statement, [], options), state, `the same name again: ${statement}`)
      const joined = driver.transaction((tx) => driver.within(tx).query(statement))
      await rejectsWith(joined, state, `within(tx).query(): ${statement}`)
    },
  }
}

/** What a failed statement does to its caller. */
export const errorCases: readonly ConformanceCase[] = [
  fails("a unique violation", "23505", "insert into %t values (1, 1)"),
  fails("a foreign key violation", "23503", "insert into %t values (2, 1, 99)"),
  fails("a check violation", "23514", "insert into %t values (2, 0)"),
  fails("a null in a not-null column", "23502", "insert into %t values (2, null)"),
  fails("a syntax error", "42601", "selekt 1"),
  fails("an unknown table", "42P01", "select 1 from sluice_conformance.nowhere"),
  fails("an unknown function", "42883", "select sluice_conformance.nothing()"),
  fails("an unreadable value", "22P02", "select 'x'::int4"),
  fails("a division by zero", "22012", "select 1 / 0"),
  fails("an exception with a code of its own", "SL001", raise),
  {
    name: "an error that comes after the first rows rejects",
    rule: "own-errors",
    async run({ driver }) {
      const text = "select 1 / (2000 - n) as value from generate_series(1, $1::int4) n"
      await rejectsWith(driver.query(text, [3_000]), "22012", "a row far down fails")
    },
  },
  {
    name: "the server's message is kept",
    rule: "own-errors",
    async run({ driver }) {
      const error = await rejects(driver.query(raise), "raise exception")
      const messages = messagesOf(error)
      ok(messages.includes("refused by the rule"), `the message must hold the server's text, received "${messages}"`)
    },
  },
  {
    name: "U+0000 in a text is refused, not cut off",
    rule: "values-in",
    async run({ driver }) {
      await rejects(driver.query("select length($1::text) as n", ["a\0b"]), "a text with U+0000")
      equalRows(await driver.query("select 1::int4 as one"), [{ one: 1 }], "afterwards")
    },
  },
  {
    name: "the driver is usable after errors, on every connection",
    rule: "usable-after-error",
    async run({ driver, unique }) {
      const name = unique("failing")
      for (let i = 0; i < 25; i++) {
        await rejectsWith(driver.query("select 1 / $1::int4 as value", [0], { name }), "22012", "a division by zero")
      }
      await Promise.allSettled(Array.from({ length: 25 }, () => driver.query("selekt")))
      equalRows(await driver.query("select 1 / $1::int4 as value", [1], { name }), [{ value: 1 }], "afterwards")
    },
  },
  {
    name: "a missing parameter rejects",
    rule: "own-errors",
    async run({ driver }) {
      await rejects(driver.query("select $1::text as first, $2::text as second", ["a"]), "one value for two parameters")
      equalRows(await driver.query("select $1::text as value", ["a"]), [{ value: "a" }], "afterwards")
    },
  },
  {
    name: "a statement timeout rejects with 57014",
    rule: "own-errors",
    needs: ["timeout"],
    async run({ driver }) {
      const slow = driver.transaction(async (tx) => {
        await driver.within(tx).query("set local statement_timeout = 30")
        await driver.within(tx).query("select pg_sleep(5)")
      })
      await rejectsWith(slow, "57014", "pg_sleep(5) under a timeout of 30 ms")
      equalRows(await driver.query("select 1::int4 as one"), [{ one: 1 }], "afterwards")
    },
  },
  {
    name: "errors inside and outside of transactions at once stay apart",
    rule: "usable-after-error",
    async run({ driver }) {
      const work = Array.from({ length: 12 }, (_, i) =>
        i % 3 === 0
          ? rejectsWith(driver.query("select 1 / 0"), "22012", "outside")
          : i % 3 === 1
            ? rejectsWith(
                driver.transaction((tx) => driver.within(tx).query("selekt")),
                "42601",
                "inside",
              )
            : driver.query("select $1::int4 as n", [i]).then((rows) => equalRows(rows, [{ n: i }], "a good one")),
      )
      await Promise.all(work)
    },
  },
]
