import type { Driver } from "@sluice/core"
import { expect, test } from "vitest"
import { ask, kill } from "./server.ts"

const types = `select $1::text as t, $2::int4 as i, $3::float8 as f, $4::bool as b, $5::text as n`

/** What every adapter must do, whatever the client beneath it is set to. `inside` runs a test on a joined transaction too. */
export function describeContract(open: () => Driver<any>, server: "shared" | "in process" = "shared"): void {
  const everywhere = async (work: (query: Driver["query"]) => Promise<void>): Promise<void> => {
    const driver = open()
    await work(driver.query)
    await driver.transaction((tx) => work(driver.within(tx).query))
  }
  const state = (error: any): string | undefined => error && (error.code ?? state(error.cause))

  test("text, int4, float8, bool and null arrive as such", () =>
    everywhere(async (query) => {
      for (const [t, i, f, b] of [
        ["a", -7, 0.1, true],
        ["", 0, 1767225600000.5, false],
        ["$1 'ä' 2024-01-01", 2147483647, 1e300, true],
      ] as const) {
        expect(await query(types, [t, i, f, b, null])).toEqual([{ t, i, f, b, n: null }])
      }
    }))

  test("no rows, many rows, no values, names that look like placeholders", () =>
    everywhere(async (query) => {
      expect(await query("select 1 as a where false")).toEqual([])
      expect(await query("select a::int4 from generate_series(1, 3) a")).toEqual([{ a: 1 }, { a: 2 }, { a: 3 }])
      const text = `select '$1' as a, $1::text as b, $$ $2 $$ as c, $1::text || $2::text as d /* $3 */ -- $4`
      expect(await query(text, ["x", "y"])).toEqual([{ a: "$1", b: "x", c: " $2 ", d: "xy" }])
    }))

  test("JSON and lists travel as text", () =>
    everywhere(async (query) => {
      const json = JSON.stringify({ a: ["'", '"', "\\", "\n", "ä", "$1"] })
      const text =
        "select ($1::text::jsonb)->'a'->>4 as a, jsonb_typeof($1::text::jsonb) as k, ($2::text::bigint[])[2]::text as b"
      expect(await query(text, [json, "{1,9007199254740993}"])).toEqual([
        { a: "ä", k: "object", b: "9007199254740993" },
      ])
    }))

  test("a value may be as long as you like", () =>
    everywhere(async (query) => {
      const long = "ä".repeat(500_000)
      expect(await query("select length($1::text) as n, $1::text as t", [long])).toEqual([{ n: 500_000, t: long }])
    }))

  test("the error of the server comes with its SQLSTATE", async () => {
    const driver = open()
    expect(state(await driver.query("select 1 / $1::int4", [0]).catch((error) => error))).toBe("22012")
    const inside = driver.transaction((tx) => driver.within(tx).query("select * from nowhere"))
    expect(state(await inside.catch((error) => error))).toBe("42P01")
    expect(await driver.query("select 1 as a")).toEqual([{ a: 1 }])
  })

  test("several statements in one query are refused", async () => {
    const driver = open()
    await expect(driver.query("select 1; select 2")).rejects.toThrow()
    await expect(driver.query("select $1::int4; select 2", [1])).rejects.toThrow()
    await expect(driver.transaction((tx) => driver.within(tx).query("select 1; select 2"))).rejects.toThrow()
  })

  test("a transaction commits, and rolls back with the error of the work", async () => {
    const driver = open()
    await driver.query("drop table if exists contract")
    await driver.query("create table contract (v text)")
    const insert = (tx: unknown, v: string) =>
      driver.within(tx).query("insert into contract values ($1::text) returning v", [v])
    expect(await driver.transaction((tx) => insert(tx, "kept"))).toEqual([{ v: "kept" }])
    const failure = new Error("no")
    await expect(driver.transaction(async (tx) => (await insert(tx, "gone"), Promise.reject(failure)))).rejects.toBe(
      failure,
    )
    expect(await driver.query("select v from contract")).toEqual([{ v: "kept" }])
  })

  test("a swallowed failure rejects, and the driver goes on", async () => {
    const driver = open()
    const swallow = async (tx: unknown) =>
      void (await driver
        .within(tx)
        .query("select 1 / 0")
        .catch(() => {}))
    for (let i = 0; i < 12; i++) await expect(driver.transaction(swallow)).rejects.toThrow()
    expect(await driver.query("select 1 as a")).toEqual([{ a: 1 }])
  })

  test("savepoints nest, and undo only their own", async () => {
    const driver = open()
    if (!driver.savepoint) return
    const { savepoint } = driver
    await driver.query("drop table if exists points")
    await driver.query("create table points (v int4)")
    const insert = (tx: unknown, v: number) => driver.within(tx).query("insert into points values ($1::int4)", [v])
    await driver.transaction(async (tx) => {
      await insert(tx, 1)
      await savepoint(tx, async (inner) => {
        await insert(inner, 2)
        await savepoint(
          inner,
          async (innermost) => (await insert(innermost, 3), Promise.reject(new Error("no"))),
        ).catch(() => {})
        await savepoint(inner, (innermost) => driver.within(innermost).query("select 1 / 0")).catch(() => {})
      })
      await insert(tx, 4)
    })
    expect(await driver.query("select v from points order by v")).toEqual([{ v: 1 }, { v: 2 }, { v: 4 }])
  })

  test("within takes nothing but a transaction", () => {
    const driver = open()
    for (const tx of [undefined, null, {}, "tx"]) expect(() => driver.within(tx)).toThrow(TypeError)
  })

  if (server === "in process") return

  test("a backend killed in a transaction rejects it, and the driver goes on", async () => {
    const driver = open()
    for (const idle of [true, false]) {
      const running = driver.transaction(async (tx) => {
        const [row] = await driver.within(tx).query<{ pid: number }>("select pg_backend_pid() as pid")
        const sleeping = idle ? undefined : driver.within(tx).query("select pg_sleep(5)")
        sleeping?.catch(() => {})
        await kill(row?.pid as number)
        await new Promise((resolve) => setTimeout(resolve, 100))
        await sleeping
        await driver.within(tx).query("select 1")
      })
      await expect(running).rejects.toThrow()
      await new Promise((resolve) => setTimeout(resolve, 100))
      // postgres.js 3.4.9 answers the first statement on a new connection with what ended the old one.
      await driver.query("select 1 as a").catch((error) => expect(state(error)).toBe("57P01"))
      expect(await driver.query("select 1 as a")).toEqual([{ a: 1 }])
    }
  })

  test("nothing is left in a transaction", async () => {
    const [row] = await ask(
      "select count(*)::int as n from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'",
    )
    expect(row.n).toBe(0)
  })
}
