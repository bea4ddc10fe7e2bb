import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, describe, expect, test } from "vitest"
import { type Child, startChild } from "./helpers/child.ts"
import { driverNames } from "./helpers/drivers.ts"
import { createEffectTable, effectsOf, openEffects, type Point } from "./helpers/effects.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { subscriberHarness, watchSubscriber } from "./helpers/subscriber-harness.ts"

const { client: other, pool, url, stream } = await subscriberHarness()
await createEffectTable(pool)

const points: readonly Point[] = ["claimed", "begun", "locked", "handled", "settled", "committed"]

let child: Child | undefined
afterEach(() => child?.kill())

async function filled(count: number): Promise<string> {
  const { name } = await stream({ backoff: null, maxAttempts: null, lease: "1h" })
  await other.stream(name).publishBatch(Array.from({ length: count }, (_, data) => ({ type: "n", data })))
  return name
}

/** Each event has its effect and its batch is finished, or has none and is to come: of those that are open, all or none were done. */
async function expectWhole(name: string): Promise<number[]> {
  const effects = await effectsOf(pool, name)
  expect(new Set(effects).size).toBe(effects.length)
  const { rows } = await pool.query(
    `select coalesce(sum(e.events), 0)::int4 as n from sluice.batch_end e join sluice.subscription s on s.id = e.subscription
      where e.outcome = 'finished' and s.stream = (select id from sluice.queue where name = $1)`, [name])
  expect(effects).toHaveLength(rows[0].n)
  return effects
}

/** What another subscriber makes of what is left. */
async function finish(name: string): Promise<void> {
  const { client, effect, end } = openEffects("pg", url)
  await client.subscriber(name, "s", (event, { tx }) => effect({ queue: name, payload: event.data }, tx), { transactional: true, maintenance: false, members: 2 }).drain()
  await end()
}

async function backendsAreGone(): Promise<void> {
  const text = "select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"
  await expect.poll(async () => (await pool.query(text)).rowCount, { timeout: 10_000 }).toBe(0)
}

describe.each(["pg", "postgres.js"] as const)("over %s", (driver) => {
  test.each(points)("a process killed when it has %s: effects and finish are never apart", async (point) => {
    const name = await filled(6)
    child = startChild("subscriber-transaction-child.ts", driver, url, name, point)
    while ((await child.next<string>()) !== point);
    await child.kill()
    await backendsAreGone()
    const effects = await expectWhole(name)
    expect(effects.length % 3).toBe(0)
    if (point !== "committed") expect(effects.length).toBeLessThan(6)
    else expect(effects.length).toBeGreaterThanOrEqual(3)
    await moveClock(pool, "61 minutes")
    await finish(name)
    expect(await expectWhole(name)).toEqual([0, 1, 2, 3, 4, 5])
  })

  test("a process killed at any time, again and again: effects and finish are never apart", async () => {
    const name = await filled(300)
    for (let round = 1; round <= 4; round++) {
      child = startChild("subscriber-transaction-child.ts", driver, url, name, "")
      await child.next()
      const before = (await effectsOf(pool, name)).length
      await expect.poll(async () => (await effectsOf(pool, name)).length, { timeout: 10_000, interval: 5 }).toBeGreaterThan(before)
      await sleep(Math.random() * 20)
      await child.kill()
      await backendsAreGone()
      await expectWhole(name)
      await moveClock(pool, `${round * 61} minutes`)
    }
    await finish(name)
    expect(await expectWhole(name)).toEqual(Array.from({ length: 300 }, (_, n) => n))
  }, 60_000)
})

describe.each(driverNames)("over %s", (driver) => {
  test.each(points.slice(1))("a connection that the server ends when it has %s: the subscriber goes on, effects and finish are never apart, nobody is charged", async (point) => {
    const name = await filled(3)
    let died = 0
    let pid: number | undefined
    const { client, driver: raw, effect, end } = openEffects(driver, url, 3, async (at, tx) => {
      if (at === "begun") [{ pid }] = await raw.within(tx).query<{ pid: number }>("select pg_backend_pid()::int4 as pid") as [{ pid: number }]
      if (at !== point || died++ > 0) return
      await pool.query("select pg_terminate_backend($1, 5000)", [pid])
    })
    const attempts: number[] = []
    const { subscriber, said, errors } = watchSubscriber(client.subscriber(name, "s", (event, { tx }) => {
      attempts.push(event.attempt)
      return effect({ queue: name, payload: event.data }, tx)
    }, { transactional: true, maintenance: false, pollInterval: "20ms" }))
    await subscriber.drain()
    expect(died).toBeGreaterThan(0)
    expect(said()).toEqual(["done 0", "done 1", "done 2"])
    expect(await expectWhole(name)).toEqual([0, 1, 2])
    expect(new Set(attempts)).toEqual(new Set([1]))
    expect(errors()).toHaveLength(point === "committed" ? 0 : 1)
    await end()
  })

  test("events whose handlers end the connection each time are set apart, and the culprit dies; members do not keep each other from it", async () => {
    const { name } = await stream({ backoff: null, maxAttempts: 2 })
    await other.stream(name).publishBatch(Array.from({ length: 6 }, (_, data) => ({ type: "n", data })))
    const { client, driver: raw, effect, end } = openEffects(driver, url, 4)
    const { subscriber, said } = watchSubscriber(client.subscriber(name, "s", async (event, { tx }) => {
      await effect({ queue: name, payload: event.data }, tx)
      if (Number(event.data) % 3 !== 0) return
      const [backend] = await raw.within(tx).query<{ pid: number }>("select pg_backend_pid()::int4 as pid")
      await pool.query("select pg_terminate_backend($1, 5000)", [backend!.pid])
    }, { transactional: true, members: 2, maxEvents: 3, maintenance: false, pollInterval: "20ms" }))
    await subscriber.drain()
    expect(said().filter((one) => !one.startsWith("retry")).toSorted()).toEqual(["dead 0", "dead 3", "done 1", "done 2", "done 4", "done 5"])
    expect(await effectsOf(pool, name)).toEqual([1, 2, 4, 5])
    await end()
  })
})
