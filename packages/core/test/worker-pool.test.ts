import { type Client, createClient, PoolTooSmallError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { setTimeout as sleep } from "node:timers/promises"
import { Pool } from "pg"
import { describe, expect, test } from "vitest"
import { driverNames } from "./helpers/drivers.ts"
import { createEffectTable, effectsOf, openEffects, tellingOf } from "./helpers/effects.ts"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"
import { openLogin } from "./helpers/logins.ts"

const { client: other, pool, url, freshQueue } = await harness()
await createEffectTable(pool)
const database = new URL(url).pathname.slice(1)

async function filled(client: Client, count: number): Promise<string> {
  const name = await freshQueue({ backoff: null })
  await client.queue(name).sendBatch(Array.from({ length: count }, (_, payload) => ({ payload })))
  return name
}

describe.each(driverNames)("over %s", (driver) => {
  test.each([
    [1, 2, undefined],
    [2, 2, undefined],
    [5, 5, undefined],
    [5, 10, 5],
    [2, 10, 2],
  ])("start refuses, with a pool of %i, a concurrency of %i (of the handler: %s)", async (max, concurrency, own) => {
    const { client, end } = openEffects(driver, url, max)
    const worker = client.worker([client.queue(await freshQueue()).handler(() => {}, { transactional: true, ...(own !== undefined && { concurrency: own }) })], { concurrency })
    const error = await errorOf<PoolTooSmallError>(worker.start())
    expect(error).toBeInstanceOf(PoolTooSmallError)
    const held = own ?? concurrency
    expect(error).toMatchObject({ code: "pool_too_small", concurrency: held, maxConnections: max })
    expect(error.message).toContain(`hold ${held} connection(s)`)
    expect(error.message).toContain(`the driver has ${max}. Give its pool ${held + 1} connections or more, or the worker a concurrency of ${Math.max(1, max - 1)}`)
    await worker.stop()
    await end()
  })

  test.each([
    [1, {}, 1],
    [1, { concurrency: 1 }, 1],
    [1, { concurrency: 1, prefetch: 3 }, 1],
    [2, {}, 1],
    [2, { concurrency: 1, prefetch: 3 }, 1],
    [4, {}, 3],
    [4, { concurrency: 3, prefetch: 2 }, 3],
    [20, {}, 10],
  ])("with a pool of %i and %j, %i run at once", async (max, options, most) => {
    const { client, effect, end } = openEffects(driver, url, max)
    const name = await filled(client, 15)
    let [running, seen] = [0, 0]
    const worker = client.worker([client.queue<number>(name).handler(async (message, { tx }) => {
      seen = Math.max(seen, ++running)
      await effect(message, tx)
      for (const deadline = Date.now() + 2000; seen < most && Date.now() < deadline; ) await sleep(2)
      running--
    }, { transactional: true })], { ...options, maintenance: false })
    const told = tellingOf(worker)
    await worker.drain()
    expect(seen).toBe(most)
    expect(told.every((event) => event.startsWith("done"))).toBe(true)
    expect(await effectsOf(pool, name)).toEqual(Array.from({ length: 15 }, (_, n) => n))
    await end()
  })

  test.each([0, 3])("a pool of one serves several queues, one that needs no transaction among them, with a prefetch of %i and handlers longer than a beat", async (prefetch) => {
    const { client, effect, end } = openEffects(driver, url, 1)
    const names = [await filled(client, 3), await filled(client, 3), await filled(client, 3)]
    let [running, seen] = [0, 0]
    const plain: number[] = []
    const worker = client.worker(names.map((name, i) => client.queue<number>(name).handler(async (message, { tx }: { tx?: unknown }) => {
      seen = Math.max(seen, ++running)
      await (tx === undefined ? plain.push(message.payload) : effect(message, tx))
      await sleep(60) // a beat each 50 ms waits for the connection meanwhile
      running--
    }, { transactional: i !== 1, lease: "150ms" } as { transactional: true })), { prefetch, maintenance: true })
    const told = tellingOf(worker)
    await worker.drain()
    expect(seen).toBe(1)
    expect(told.filter((event) => event.startsWith("error"))).toEqual([])
    expect(await effectsOf(pool, names[0]!)).toEqual([0, 1, 2])
    expect(await effectsOf(pool, names[2]!)).toEqual([0, 1, 2])
    expect(new Set(plain)).toEqual(new Set([0, 1, 2]))
    for (const name of names) expect((await other.admin.metrics(name)).length).toBe(0)
    await end()
  })

  test("stop comes to its end with a pool of one whose connection a handler keeps", async () => {
    const { client, effect, end } = openEffects(driver, url, 1)
    const name = await filled(client, 1)
    let release = (): void => {}
    const released = new Promise<void>((resolve) => (release = resolve))
    let begun = false
    const worker = await client.queue<number>(name).work(async (message, { tx }) => {
      await effect(message, tx)
      begun = true
      await released
    }, { transactional: true, lease: "90ms", prefetch: 1 }) // a claim waits for the connection too
    const told = tellingOf(worker)
    await expect.poll(() => begun, { timeout: 10_000 }).toBe(true)
    await sleep(50) // a beat is on its way, and gets no connection
    await worker.stop({ timeout: 0 })
    release()
    await expect.poll(() => told, { timeout: 10_000 }).toEqual(["done 0"])
    expect(await effectsOf(pool, name)).toEqual([0])
    await end()
  })

  test("messages whose transaction cannot be opened, since the server refuses connections, are given back uncharged", async () => {
    const user = `${database}_${driver.replaceAll(/\W/g, "")}`
    const login = await openLogin(pool, url, user, { schema: "sluice", attributes: "superuser" })
    let refused = 0
    const shut = Promise.withResolvers<void>()
    const { client, effect, end } = openEffects(driver, login.url, 3, async (point) => {
      if (point !== "claimed" || refused++ > 0) return
      await pool.query(`alter role ${user} nologin`)
      await pool.query("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", [user])
      await expect.poll(async () => (await pool.query("select from pg_stat_activity where usename = $1", [user])).rowCount).toBe(0)
      shut.resolve()
    })
    const name = await filled(other, 4)
    const worker = client.worker([client.queue<number>(name).handler(effectful(effect), { transactional: true })], { concurrency: 2, prefetch: 2, maintenance: false })
    const told = tellingOf(worker)
    const off = worker.on("error", () => void shut.promise.then(() => pool.query(`alter role ${user} login`)).then(off)) // not while it is being shut: it would never be
    const attempts: number[] = []
    worker.on("start", ({ message }) => attempts.push(message.attempt))
    await worker.drain()
    expect(told.filter((event) => event === "error The transaction could not be opened.").length).toBeGreaterThan(0)
    expect(told.filter((event) => event.startsWith("released")).length).toBeGreaterThan(0)
    expect(told.filter((event) => event.startsWith("done"))).toHaveLength(4)
    expect(attempts).toEqual([1, 1, 1, 1])
    expect(await effectsOf(pool, name)).toEqual([0, 1, 2, 3])
    await end()
  })
})

type Effect = (message: never, tx: unknown) => Promise<void>
const effectful = (effect: Effect) => (message: unknown, { tx }: { tx: unknown }): Promise<void> => effect(message as never, tx)

test("messages whose transaction finds no free connection in time are given back uncharged", async () => {
  const small = new Pool({ connectionString: url, max: 2, connectionTimeoutMillis: 100 })
  const client = createClient(pgDriver(small), { listen: false, notify: false })
  const name = await filled(client, 4)
  const holders = [await small.connect()]
  const worker = client.worker([client.queue<number>(name).handler((_message, { tx }) => tx.query("select 1"), { transactional: true })], { concurrency: 1, prefetch: 3, maintenance: false })
  const told = tellingOf(worker)
  const attempts: number[] = []
  worker.on("start", ({ message }) => attempts.push(message.attempt))
  // With the first handler done, the connection is taken before the next can have it.
  const took = new Promise<void>((resolve) => worker.on("start", () => {
    if (holders.length === 1) void small.connect().then((holder) => resolve(void holders.push(holder)))
  }))
  await worker.start()
  await took
  await expect.poll(() => told.includes("error The transaction could not be opened."), { timeout: 10_000 }).toBe(true)
  for (const holder of holders) holder.release()
  await worker.drain()
  expect(told.filter((event) => event.startsWith("released")).length).toBeGreaterThan(0)
  expect(told.filter((event) => event.startsWith("done"))).toHaveLength(4)
  expect(attempts).toEqual([1, 1, 1, 1])
  await client.close()
  await small.end()
})
