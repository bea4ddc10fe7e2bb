import { outcome } from "@sluice/core"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from "vitest"
import { driverNames } from "./helpers/drivers.ts"
import { createEffectTable, effectsOf, openEffects, reasonsOf, tellingOf } from "./helpers/effects.ts"
import { harness } from "./helpers/harness.ts"

const { client: other, pool, url, freshQueue } = await harness()
await createEffectTable(pool)
const QUIET = { maintenance: false, concurrency: 1 } as const

describe.each(driverNames)("transactional batches over %s", (driver) => {
  const { client, effect, driver: raw, end } = openEffects(driver, url, 4)
  afterAll(end)
  let name = ""

  beforeEach(async () => {
    name = await freshQueue({ backoff: null, maxAttempts: 2 })
    await client.queue(name).sendBatch([1, 2, 3].map((payload) => ({ payload })))
  })
  const transactions = async (): Promise<number> => (await pool.query("select distinct xact from effect where queue = $1", [name])).rowCount!
  /** How many messages are leased of these queues, by leases that ended so long ago, as far as it is committed. */
  const leased = async (queues: string[], by = "-1 day"): Promise<number> => {
    const text = "select from sluice.message where lease is not null and vt < sluice.clock() - $1::interval and queue in (select id from sluice.queue where name = any ($2))"
    return (await pool.query(text, [by, queues])).rowCount!
  }
  const killBackendOf = async (tx: unknown): Promise<void> => {
    const [{ pid }] = await raw.within(tx).query<{ pid: number }>("select pg_backend_pid()::int4 as pid") as [{ pid: number }]
    await pool.query("select pg_terminate_backend($1)", [pid])
  }

  test("one transaction; what the failing one did is gone, with its error kept, the others commit", async () => {
    const worker = client.worker([client.queue<number>(name).handler(async (message, { tx }) => {
      await effect(message, tx)
      if (message.payload === 2) await raw.within(tx).query("select 1 / 0")
      if (message.payload === 3) return outcome.snooze("1h")
    }, { transactional: true, batch: 3, onError: () => outcome.retry({ delay: "2h" }) })], QUIET)
    const told = tellingOf(worker)
    worker.on("retry", ({ error }) => expect.soft(reasonsOf(error)).toMatch(/division by zero/))
    await worker.drain()
    expect(told).toEqual(["done 1", "retry 2", "snooze 3"])
    expect(await effectsOf(pool, name)).toEqual([1, 3])
    expect(await transactions()).toBe(1)
    expect((await other.admin.messages.list({ queue: name })).items).toMatchObject([
      { payload: 2, attempt: 1, errors: [{ attempt: 1 }] },
      { payload: 3, attempt: 0, errors: [] },
    ])
  })

  test("a failed commit takes all with it: each is charged, none has an effect", async () => {
    await pool.query("create table if not exists parent (id int primary key); create table if not exists child (id int references parent deferrable initially deferred)")
    const worker = client.worker([client.queue<number>(name).handler(async (message, { tx }) => {
      await effect(message, tx)
      if (message.payload === 2 && message.attempt === 1) await raw.within(tx).query("insert into child values (404)")
    }, { transactional: true, batch: 3 })], QUIET)
    const told = tellingOf(worker)
    await worker.drain()
    expect(told.slice(0, 3).sort()).toEqual(["retry 1", "retry 2", "retry 3"])
    expect(told.slice(3).sort()).toEqual(["done 1", "done 2", "done 3"])
    expect(await effectsOf(pool, name)).toEqual([1, 2, 3])
  })

  test("a connection that dies takes all with it, and charges only those that were begun", async () => {
    let died = false
    const attempts: [number, number][] = []
    const worker = client.worker([client.queue<number>(name).handler(async (message, { tx }) => {
      attempts.push([message.payload, message.attempt])
      await effect(message, tx)
      if (message.payload !== 2 || died) return
      died = true
      await killBackendOf(tx)
    }, { transactional: true, batch: 3 })], QUIET)
    const told = tellingOf(worker)
    await worker.drain()
    expect(told.slice(0, 3).sort()).toEqual(["released 3", "retry 1", "retry 2"])
    expect(told.slice(3).sort()).toEqual(["done 1", "done 2", "done 3"])
    expect(attempts.slice(0, 2)).toEqual([[1, 1], [2, 1]])
    expect(attempts.slice(2).sort(([a], [b]) => a - b)).toEqual([[1, 2], [2, 2], [3, 1]])
    expect(await effectsOf(pool, name)).toEqual([1, 2, 3])
  })

  test("of a whole batch, what it answers for each is settled with the effects of all", async () => {
    const worker = client.worker([client.queue<number>(name).batchHandler(async (messages, { tx }) => {
      for (const message of messages) await effect(message, tx)
      return [undefined, new Error("no"), outcome.deadLetter()]
    }, { transactional: true, size: 3, backoff: () => "1h" })], QUIET)
    const told = tellingOf(worker)
    await worker.drain()
    expect(told).toEqual(["done 1", "retry 2", "dead 3"])
    expect(await effectsOf(pool, name)).toEqual([1, 2, 3])
    expect((await other.admin.messages.list({ queue: name })).items).toMatchObject([{ payload: 2, errors: [{ message: "no" }] }])
  })

  test("a whole batch that throws rolls back, and each message is charged", async () => {
    const worker = client.worker([client.queue<number>(name).batchHandler(async (messages, { tx }) => {
      for (const message of messages) await effect(message, tx)
      throw new Error("none of it")
    }, { transactional: true, size: 3 })], QUIET)
    const told = tellingOf(worker)
    await worker.drain()
    expect(told.slice(0, 3).sort()).toEqual(["retry 1", "retry 2", "retry 3"])
    expect(told.slice(3).sort()).toEqual(["dead 1", "dead 2", "dead 3"])
    expect(await effectsOf(pool, name)).toEqual([])
  })

  // 60 s with the default lease of 30 s are two leases.
  test("a batch that has settled its first message, and stays open for leases on end, costs neither its own nor other messages theirs", async () => {
    // A pool of its own: after connections were cut, as in tests before this one, a settle may wait for a new one until its short lease is over.
    const { client, effect, end } = openEffects(driver, url, 4)
    onTestFinished(end)
    await client.queue(name).sendBatch([4, 5, 6].map((payload) => ({ payload })))
    const second = await freshQueue()
    await client.queue(second).send(7)
    const lease = "600ms"
    let open = true
    const worker = client.worker([
      client.queue<number>(name).handler(async (message, { tx }) => {
        await effect(message, tx)
        while (message.payload === 3 && open) await sleep(5)
      }, { transactional: true, batch: 3, lease, concurrency: 1 }),
      client.queue<number>(second).handler(async () => {
        while (open) await sleep(5)
      }, { lease }),
    ], { maintenance: false, concurrency: 2, prefetch: 2 })
    const told = tellingOf(worker)
    await worker.start()
    await expect.poll(() => leased([name, second]), { timeout: 10_000 }).toBe(7)
    await expect.poll(() => leased([name], "1200ms"), { timeout: 10_000 }).toBe(3)
    expect(await other.queue(name).readBatch({ limit: 10 })).toEqual([])
    expect(await other.queue(second).read()).toBeNull()
    expect((await other.admin.metrics(name)).inFlight).toBe(3) // 4, 5 and 6 are leased as ever
    open = false
    await worker.drain()
    expect(told.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => `done ${n}`))
    expect(await effectsOf(pool, name)).toEqual([1, 2, 3, 4, 5, 6])
  })

  test("a message that failed stays locked until the others are done", async () => {
    let open = true
    const worker = client.worker([client.queue<number>(name).handler(async (message, { tx }) => {
      await effect(message, tx)
      if (message.payload === 1) throw new Error("first")
      while (message.payload === 3 && open) await sleep(5)
    }, { transactional: true, batch: 3, lease: "200ms" })], QUIET)
    const told = tellingOf(worker)
    await worker.start()
    await expect.poll(() => leased([name], "0"), { timeout: 10_000 }).toBe(3)
    expect(await other.queue(name).readBatch({ limit: 10 })).toEqual([])
    open = false
    await worker.drain()
    expect(told).toEqual(["retry 1", "done 2", "done 3", "dead 1"])
  })
})
