import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { type Child, startChild } from "./helpers/child.ts"
import { driverNames } from "./helpers/drivers.ts"
import { createEffectTable, effectsOf, openEffects, type Point, tellingOf } from "./helpers/effects.ts"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client: other, pool, url, freshQueue } = await harness()
await createEffectTable(pool)

const points: readonly Point[] = ["claimed", "begun", "locked", "handled", "settled", "committed"]

let child: Child | undefined
beforeEach(() => moveClock(pool, "0"))
afterEach(() => child?.kill())

async function filled(count: number): Promise<string> {
  const name = await freshQueue({ backoff: null, maxAttempts: null, lease: "1h" })
  await other.queue(name).sendBatch(Array.from({ length: count }, (_, payload) => ({ payload })))
  return name
}

/** Each message has its effect and is gone, or has none and is there. */
async function expectWhole(name: string, count: number): Promise<number[]> {
  const waiting = (await other.admin.messages.list({ queue: name, limit: 1000 })).items.map(({ payload }) => payload as number)
  const effects = await effectsOf(pool, name)
  expect([...waiting, ...effects].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, n) => n))
  return effects
}

/** What another worker makes of what is left. */
async function finish(name: string): Promise<void> {
  const { client, effect, end } = openEffects("pg", url)
  await client.worker([client.queue(name).handler((message, { tx }) => effect(message, tx), { transactional: true })], { maintenance: false }).drain()
  await end()
}

async function backendsAreGone(): Promise<void> {
  const text = "select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"
  await expect.poll(async () => (await pool.query(text)).rowCount, { timeout: 10_000 }).toBe(0)
}

describe.each(["pg", "postgres.js"] as const)("over %s", (driver) => {
  test.each([...points.map((point) => [point, 1] as const), ["handled", 2] as const, ["settled", 2] as const])(
    "a process killed when it has %s (transactions of %i): effect and settle are never apart",
    async (point, batch) => {
      const name = await filled(2)
      child = startChild("transaction-child.ts", driver, url, name, point, String(batch))
      while ((await child.next<string>()) !== point);
      await child.kill()
      await backendsAreGone()
      const effects = await expectWhole(name, 2)
      if (point !== "committed") expect(effects.length).toBeLessThan(batch === 2 ? 1 : 2)
      else expect(effects.length).toBeGreaterThanOrEqual(1)
      await moveClock(pool, "61 minutes")
      await finish(name)
      expect(await expectWhole(name, 2)).toEqual([0, 1])
    },
  )

  test("a process killed at any time, again and again: effect and settle are never apart", async () => {
    const name = await filled(300)
    for (let round = 1; round <= 4; round++) {
      child = startChild("transaction-child.ts", driver, url, name, "", "3")
      await child.next()
      const before = (await effectsOf(pool, name)).length
      await expect.poll(async () => (await effectsOf(pool, name)).length, { timeout: 10_000, interval: 5 }).toBeGreaterThan(before)
      await sleep(Math.random() * 20)
      await child.kill()
      await backendsAreGone()
      await expectWhole(name, 300)
      await moveClock(pool, `${round * 61} minutes`)
    }
    await finish(name)
    expect((await expectWhole(name, 300)).length).toBe(300)
  }, 60_000)

})

describe.each(driverNames)("over %s", (driver) => {
  test.each(points.slice(1))("a connection that the server ends when it has %s: the worker goes on, effect and settle are never apart", async (point) => {
    const name = await filled(3)
    let died = 0
    let pid: number | undefined
    const { client, driver: raw, effect, end } = openEffects(driver, url, 3, async (at, tx) => {
      if (at === "begun") [{ pid }] = await raw.within(tx).query<{ pid: number }>("select pg_backend_pid()::int4 as pid") as [{ pid: number }]
      if (at !== point || died++ > 0) return
      await pool.query("select pg_terminate_backend($1, 5000)", [pid])
    })
    const worker = client.worker([client.queue(name).handler((message, { tx }) => effect(message, tx), { transactional: true })], { maintenance: false, concurrency: 1 })
    const told = tellingOf(worker)
    const attempts: number[] = []
    worker.on("start", ({ message }) => attempts.push(message.attempt))
    await worker.drain()
    expect(died).toBeGreaterThan(0)
    expect(told.filter((event) => event.startsWith("done")).toSorted()).toEqual(["done 0", "done 1", "done 2"])
    expect(await expectWhole(name, 3)).toEqual([0, 1, 2])
    // Charged is what a handler has begun, and nothing else.
    if (point === "begun") expect(attempts).toEqual([1, 1, 1])
    if (point === "handled" || point === "settled") expect(told.filter((event) => event.startsWith("retry"))).toHaveLength(1)
    await end()
  })
})
