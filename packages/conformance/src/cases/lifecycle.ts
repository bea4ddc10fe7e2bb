import { equal, equalRows, eventually, inTime, ok, rejects, sleep } from "../assert.ts"
import type { ConformanceCase } from "../case.ts"
import { openObserver } from "./backends.ts"

/** How many sockets this process holds. Other handles, such as timers, come and go with the runner. */
function openSockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => /^(TCP|Pipe|TLS).*Wrap$/.test(kind)).length
}

/** What stays behind. */
export const lifecycleCases: readonly ConformanceCase[] = [
  {
    name: "failing transactions give their connections back",
    rule: "no-leaks",
    async run({ driver }) {
      for (let i = 1; i <= 30; i++) {
        const failing = driver.transaction(async (tx) => {
          await driver.within(tx).query(i % 2 === 0 ? "select 1 / 0" : "select 1")
          throw new Error("rolled back")
        })
        await inTime(rejects(failing, "the transaction"), `the failing transaction no. ${i} got no connection`)
      }
      const late = inTime(driver.query("select 1::int4 as one"), "no connection is left after 30 failing transactions")
      equalRows(await late, [{ one: 1 }], "afterwards")
    },
  },
  {
    name: "no transaction stays open after failures",
    rule: "no-leaks",
    needs: ["concurrent", "direct"],
    async run(context) {
      const { driver } = context
      const observer = await openObserver(context)
      const fail = (i: number): Promise<unknown> =>
        driver.transaction(async (tx) => {
          if (i % 3 === 0) throw new Error("before any statement")
          await driver.within(tx).query(i % 3 === 1 ? "select 1 / 0" : "select 1")
          if (i % 2 === 0) throw new Error("after a statement")
          await driver
            .within(tx)
            .query("selekt")
            .catch(() => undefined) // swallowed
        })
      const results = Promise.allSettled(Array.from({ length: 24 }, (_, i) => fail(i)))
      await inTime(results, "24 failing transactions at once", 8_000)
      await eventually(observer.inTransaction, 0, "connections with an open transaction")
      const limit = driver.maxConnections ?? 24
      ok((await observer.count()) <= limit, `the driver must not open more than ${limit} connections`)
    },
  },
  {
    name: "closing leaves no connection at the server",
    rule: "no-leaks",
    needs: ["concurrent", "direct"],
    async run(context) {
      const { connect } = context
      const observer = await openObserver(context)
      const { driver, close } = await connect()
      await Promise.all(Array.from({ length: 5 }, () => driver.query("select 1")))
      await driver.transaction((tx) => driver.within(tx).query("select 1"))
      await rejects(driver.query("select 1 / 0"), "a failure")
      await inTime(close(), "close() of the set-up")
      await eventually(observer.count, 0, "connections after close()")
    },
  },
  {
    name: "closing leaves no socket in the process",
    rule: "no-leaks",
    needs: ["concurrent"],
    async run({ connect, unique }) {
      await sleep(100) // sockets of the cases before are still closing
      const before = openSockets()
      const { driver, close } = await connect({ untapped: true })
      await Promise.all(Array.from({ length: 5 }, () => driver.query("select 1")))
      await rejects(
        driver.transaction((tx) => driver.within(tx).query("select 1 / 0")),
        "a failure",
      )
      const end = await driver.listen?.(
        unique("channel"),
        () => undefined,
        () => undefined,
      )
      await end?.()
      await inTime(close(), "close() of the set-up")
      const left = (): number => Math.max(0, openSockets() - before)
      await eventually(left, 0, "sockets that close() left in the process")
    },
  },
  {
    name: "close() twice is harmless",
    rule: "close",
    async run({ connect }) {
      const { driver } = await connect()
      await driver.query("select 1")
      await inTime(driver.close?.() ?? Promise.resolve(), "close()")
      await inTime(driver.close?.() ?? Promise.resolve(), "close() again")
    },
  },
  {
    name: "close() leaves a borrowed client open",
    rule: "close",
    needs: ["native"],
    async run({ connect }) {
      const { driver, native } = await connect()
      await driver.query("select 1")
      await driver.close?.()
      const rows = inTime(native!.query("select 1::int4 as one"), "the user's client after close()")
      equal((await rows).length, 1, "rows that the user's own client reads after the driver was closed")
    },
  },
  {
    name: "a driver made from a URL ends its connections",
    rule: "close",
    needs: ["fromUrl", "concurrent", "direct"],
    async run(context) {
      const { harness, url } = context
      const observer = await openObserver(context)
      const driver = harness.fromUrl!(url)
      equalRows(await driver.query("select 1::int4 as one"), [{ one: 1 }], "a driver made from a URL")
      ok(driver.close !== undefined, "a driver that opens its own connections must have close()")
      await inTime(driver.close(), "close()")
      await eventually(observer.count, 0, "connections after close()")
      await inTime(rejects(driver.query("select 1"), "a closed driver must reject"), "query() after close()")
    },
  },
  {
    name: "a driver made from a URL ends its subscriptions",
    rule: "close",
    needs: ["fromUrl", "listen", "concurrent", "direct"],
    async run(context) {
      const { harness, unique, url } = context
      const observer = await openObserver(context)
      const driver = harness.fromUrl!(url)
      await driver.listen!(
        unique("channel"),
        () => undefined,
        () => undefined,
      )
      await inTime(driver.close!(), "close() while listening")
      await eventually(observer.count, 0, "connections after close(): the one that listened is the driver's own")
    },
  },
  {
    name: "the user's client keeps its own parsers",
    rule: "no-global-state",
    needs: ["native", "nativeTypes"],
    async run({ driver, harness }) {
      const types = Object.entries(harness.native!.returns!)
      const samples: { readonly [sqlType: string]: string } = { json: "{}", jsonb: "{}", interval: "1 day", bool: "t" }
      const sample = (type: string): string =>
        samples[type] ?? (/^(date|time)/.test(type) ? "2026-01-02 03:04:05" : "1")
      const text = `select ${types.map(([type], i) => `'${sample(type)}'::${type} as c${i}`).join(", ")}`
      await driver.query(text)
      await driver.transaction((tx) => driver.within(tx).query(text))
      const [row] = await harness.native!.query(text)
      const received = Object.values(row as object).map((value: unknown, i) => [types[i]![0], nameOf(value)])
      equal(Object.fromEntries(received), { ...harness.native!.returns }, "what the user's own client returns, by type")
    },
  },
]

function nameOf(value: unknown): string {
  return (value as object | null | undefined)?.constructor?.name ?? String(value)
}
