import { PayloadInvalidError, PayloadTooLargeError, sqlState } from "@sluice/core"
import type { PoolClient } from "pg"
import { beforeEach, expect, test } from "vitest"
import { startChild } from "./helpers/child.ts"
import { driverNames, openClient } from "./helpers/drivers.ts"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { url, client, pool, freshQueue } = await harness()
await pool.query("create table effect (key text)")
beforeEach(async () => {
  await moveClock(pool, "0")
  await pool.query("truncate effect, sluice.once")
})

const effects = async (): Promise<string[]> => (await pool.query<{ key: string }>("select key from effect order by key")).rows.map(({ key }) => key)
const keys = async (): Promise<string[]> => (await pool.query<{ key: string }>("select key from sluice.once order by key")).rows.map(({ key }) => key)
const effect = (tx: PoolClient, key: string) => async (): Promise<string> => {
  await tx.query("insert into effect values ($1)", [key])
  return `did ${key}`
}
/** Statements of others that wait for a lock. */
const waiting = async (): Promise<number | null> => (await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount

test("the first call does the work, every later one gets what it returned", async () => {
  expect(await inTransaction(pool, (tx) => client.once(tx, "a", effect(tx, "a")))).toEqual({ ran: true, value: "did a" })
  expect(await inTransaction(pool, (tx) => client.once(tx, "a", effect(tx, "a")))).toEqual({ ran: false, value: "did a" })
  expect(await inTransaction(pool, (tx) => client.once(tx, "A", effect(tx, "A")))).toEqual({ ran: true, value: "did A" })
  expect(await effects()).toEqual(["A", "a"])
})

test("twice in one transaction is once, and nothing is done where the work has nothing to return", async () => {
  await inTransaction(pool, async (tx) => {
    expect(await client.once(tx, "a", () => {})).toEqual({ ran: true, value: undefined })
    expect(await client.once(tx, "a", effect(tx, "a"))).toEqual({ ran: false, value: undefined })
  })
  expect(await effects()).toEqual([])
})

test("the value is what JSON keeps of it, for the first caller too", async () => {
  const values = [null, false, 0, "", "é\u2028", [1, [2]], { a: { b: null } }, new Date(0), { a: undefined, b: 1 }]
  const kept = [null, false, 0, "", "é\u2028", [1, [2]], { a: { b: null } }, "1970-01-01T00:00:00.000Z", { b: 1 }]
  for (const [n, value] of values.entries()) {
    const first = await inTransaction(pool, (tx) => client.once(tx, `v${n}`, () => value))
    const later = await inTransaction(pool, (tx) => client.once(tx, `v${n}`, () => "never"))
    expect([first, later]).toEqual([{ ran: true, value: kept[n] }, { ran: false, value: kept[n] }])
  }
})

test("a value that cannot be kept undoes the work, and leaves the transaction usable", async () => {
  await inTransaction(pool, async (tx) => {
    const returning = (value: unknown) => client.once(tx, "a", async () => {
      await effect(tx, "a")()
      return value
    })
    expect(await errorOf(returning(1n))).toBeInstanceOf(PayloadInvalidError)
    expect(await errorOf(returning({ a: "\0" }))).toMatchObject({ name: "PayloadInvalidError", path: "result.a" })
    expect(await errorOf(returning("x".repeat(65_536)))).toMatchObject({ name: PayloadTooLargeError.name, limit: 65_536 })
    expect(await returning("x".repeat(65_000))).toMatchObject({ ran: true })
  })
  expect(await effects()).toEqual(["a"])
})

test("a rollback takes the key with the effects", async () => {
  await inTransaction(pool, (tx) => client.once(tx, "a", effect(tx, "a")), { end: "rollback" })
  expect([await keys(), await effects()]).toEqual([[], []])
  expect(await inTransaction(pool, (tx) => client.once(tx, "a", effect(tx, "a")))).toMatchObject({ ran: true })
})

test("work that fails, in TypeScript or in the server, leaves neither key nor effect, and the transaction goes on", async () => {
  await inTransaction(pool, async (tx) => {
    await effect(tx, "before")()
    const thrown = new Error("no")
    expect(await errorOf(client.once(tx, "a", async () => {
      await effect(tx, "a")()
      throw thrown
    }))).toBe(thrown)
    const failed = await errorOf(client.once(tx, "a", async () => {
      await effect(tx, "a")()
      await tx.query("select 1 / 0")
    }))
    expect(sqlState(failed)).toBe("22012")
    const swallowed = await errorOf(client.once(tx, "a", async () => {
      await effect(tx, "a")()
      await tx.query("select 1 / 0").catch(() => {})
    }))
    expect(sqlState(swallowed)).toBe("25P02")
    await effect(tx, "after")()
  })
  expect([await keys(), await effects()]).toEqual([[], ["after", "before"]])
})

test("a savepoint of the caller's that is rolled back frees the key", async () => {
  await inTransaction(pool, async (tx) => {
    await tx.query("savepoint mine")
    await client.once(tx, "a", effect(tx, "a"))
    await tx.query("rollback to savepoint mine")
    expect(await client.once(tx, "a", effect(tx, "a"))).toMatchObject({ ran: true })
  })
  expect(await effects()).toEqual(["a"])
})

test.each(["commit", "rollback"] as const)("two at once: the second waits for the first, and works only if that %ss otherwise", async (end) => {
  const first = await pool.connect()
  await first.query("begin")
  await client.once(first, "a", effect(first, "a"))
  const second = inTransaction(pool, (tx) => client.once(tx, "a", effect(tx, "a")))
  await expect.poll(waiting, { timeout: 10_000 }).toBe(1)
  await first.query(end)
  first.release()
  expect(await second).toEqual({ ran: end === "rollback", value: "did a" })
  expect(await effects()).toEqual(["a"])
})

test("eight at once on each of twenty keys: twenty effects", async () => {
  const eight = await Promise.all(Array.from({ length: 8 }, async () => {
    let ran = 0
    for (let n = 0; n < 20; n++) ran += Number((await inTransaction(pool, (tx) => client.once(tx, `k${n}`, effect(tx, `k${n}`)))).ran)
    return ran
  }))
  expect(eight.reduce((a, b) => a + b)).toBe(20)
  expect(await effects()).toEqual(Array.from({ length: 20 }, (_, n) => `k${n}`).sort())
})

test("a failure of the first inside its transaction lets the second go on at once, not only at its end", async () => {
  const first = await pool.connect()
  await first.query("begin")
  let second: Promise<{ ran: boolean }> | undefined
  await errorOf(client.once(first, "a", async () => {
    second = inTransaction(pool, (tx) => client.once(tx, "a", effect(tx, "a")))
    await expect.poll(waiting, { timeout: 10_000 }).toBe(1)
    throw new Error("no")
  }))
  expect(await second).toMatchObject({ ran: true })
  await first.query("rollback")
  first.release()
})

test.each(["repeatable read", "serializable"])("%s: works; a key taken after the snapshot is a 40001, and the retry finds it done", async (level) => {
  const begin = `begin isolation level ${level}`
  expect(await inTransaction(pool, (tx) => client.once(tx, "a", effect(tx, "a")), { begin })).toMatchObject({ ran: true })
  expect(await inTransaction(pool, (tx) => client.once(tx, "a", effect(tx, "a")), { begin })).toEqual({ ran: false, value: "did a" })
  const error = await errorOf(inTransaction(pool, async (tx) => {
    await tx.query("select from effect") // takes the snapshot
    await inTransaction(pool, (other) => client.once(other, "b", effect(other, "b")))
    return client.once(tx, "b", effect(tx, "b"))
  }, { begin }))
  expect(sqlState(error)).toBe("40001")
  expect(await inTransaction(pool, (tx) => client.once(tx, "b", effect(tx, "b")), { begin })).toMatchObject({ ran: false })
  expect(await effects()).toEqual(["a", "b"])
})

test("killed in its work: nothing was done, and another does it; killed after the commit: it was, and nobody does it again", async () => {
  const before = startChild("once-child.ts", url, "a", "work")
  expect(await before.next()).toBe("in work")
  await before.kill()
  expect(await inTransaction(pool, (tx) => client.once(tx, "a", effect(tx, "a")))).toMatchObject({ ran: true })
  const after = startChild("once-child.ts", url, "b", "commit")
  expect(await after.next()).toBe("committed")
  await after.kill()
  expect(await inTransaction(pool, (tx) => client.once(tx, "b", effect(tx, "b")))).toMatchObject({ ran: false })
  expect(await effects()).toEqual(["a", "b"])
})

test("in a transactional handler: the effect of a message whose handler fails after it is undone with its key, and done at the retry", async () => {
  const name = await freshQueue({ backoff: null })
  const queue = client.queue(name)
  await queue.send("x")
  const ran: boolean[] = []
  await client.worker([queue.handler(async ({ attempt, idempotencyKey }, { tx }) => {
    ran.push((await client.once(tx, idempotencyKey, effect(tx, "message"))).ran)
    if (attempt === 1) throw new Error("after the effect")
  }, { transactional: true })], { maintenance: false }).drain()
  expect([ran, await effects()]).toEqual([[true, true], ["message"]])
})

test("keys are kept for 30 days, or as long as you say, and maintenance forgets them then", async () => {
  for (const [key, keep] of [["short", "1h"], ["long", "90d"], ["default", undefined]] as const) {
    await inTransaction(pool, (tx) => client.once(tx, key, () => 1, keep === undefined ? {} : { keep }))
  }
  const after = async (time: string): Promise<[string[], number]> => {
    await moveClock(pool, time)
    const { keysExpired } = await client.maintenance().run()
    return [await keys(), keysExpired]
  }
  expect(await after("59 minutes")).toEqual([["default", "long", "short"], 0])
  expect(await inTransaction(pool, (tx) => client.once(tx, "short", () => 2))).toEqual({ ran: false, value: 1 })
  expect(await after("61 minutes")).toEqual([["default", "long"], 1])
  expect(await inTransaction(pool, (tx) => client.once(tx, "short", () => 2))).toEqual({ ran: true, value: 2 })
  expect(await after("29 days 23 hours")).toEqual([["default", "long", "short"], 0])
  expect(await after("30 days 30 minutes")).toEqual([["long", "short"], 1])
  expect(await after("91 days")).toEqual([[], 2])
})

test("maintenance forgets any number of keys in one round, and passes by one that a transaction holds", async () => {
  await pool.query("insert into sluice.once (key, at, keep_until) select 'k' || n, now(), now() - interval '1 day' from generate_series(1, 11000) n")
  await inTransaction(pool, async (tx) => {
    await tx.query("select from sluice.once where key = 'k77' for update")
    expect((await client.maintenance().run()).keysExpired).toBe(10_999)
  })
  expect(await keys()).toEqual(["k77"])
})

test("from SQL: once(key) is true for the one that is to do it", async () => {
  const ask = async (call: string): Promise<unknown> => pool.query(`select sluice.${call} as first`).then(({ rows }) => rows[0].first, (error: { code: string }) => error.code)
  expect([await ask("once('a')"), await ask("once('a')"), await ask("once('b', keep => '1 hour')")]).toEqual([true, false, true])
  expect(await inTransaction(pool, (tx) => client.once(tx, "a", effect(tx, "a")))).toEqual({ ran: false, value: undefined })
  expect([await ask("once('')"), await ask("once(null)"), await ask("once(repeat('k', 501))"), await ask("once('c', '0')"), await ask("once('c', null)")]).toEqual(Array.from({ length: 5 }, () => "22023"))
})

test.each(driverNames)("a send in it wakes, as any send of client.transaction: %s", async (driver) => {
  const { client: own, end } = openClient(driver, url)
  const name = await freshQueue()
  try {
    const reader = own.queue(name).readWithPoll({ wait: "30s", interval: "29s" })
    await own.transaction((tx) => own.once(tx, `wake ${driver}`, (inner) => own.queue(name).send("x", { tx: inner })))
    expect(await reader).toHaveLength(1)
  } finally {
    await end()
  }
}, 15_000)
