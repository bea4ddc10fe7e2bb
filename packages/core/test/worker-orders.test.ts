import { createClient, type Worker } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterEach, expect, test } from "vitest"
import { type Child, startChild } from "./helpers/child.ts"
import { harness } from "./helpers/harness.ts"

const { url, client, pool, freshQueue } = await harness()
const { workers } = client.admin

const started: Worker[] = []
const children: Child[] = []
afterEach(async () => {
  await Promise.all(started.splice(0).map((worker) => worker.stop({ timeout: 0 })))
  await Promise.all(children.splice(0).map((child) => child.kill()))
})

/** Beats every 200 ms. */
const fast = { lease: "600ms" } as const

/** Calls that last until they are let go. */
function gate() {
  const seen: unknown[] = []
  const open: (() => void)[] = []
  return {
    seen,
    handler: ({ payload }: { payload: unknown }) => {
      seen.push(payload)
      return new Promise<void>((resolve) => void open.push(resolve))
    },
    letGo: () => open.splice(0).forEach((go) => go()),
  }
}

async function child(queue: string, name: string): Promise<Child> {
  const one = startChild("registry-child.ts", url, queue, name)
  children.push(one)
  expect(await one.next()).toBe("started")
  return one
}

/** Beats that have come since. */
async function beats(name: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { beatAt } = await workers.get(name)
    await expect.poll(async () => (await workers.get(name)).beatAt.getTime(), { timeout: 10_000 }).toBeGreaterThan(beatAt.getTime())
  }
}

test("suspend: claims stop within a beat, what was prefetched goes back, handlers finish, and resume goes on", async () => {
  const name = await freshQueue(fast)
  const queue = client.queue(name)
  const { seen, handler, letGo } = gate()
  await queue.sendBatch([1, 2, 3, 4, 5].map((payload) => ({ payload })))
  const worker = client.worker([queue.handler(handler)], { name: "suspendable", concurrency: 2, prefetch: 2, pollInterval: "20ms", maintenance: false })
  started.push(worker)
  const released: unknown[] = []
  const done: unknown[] = []
  worker.on("released", ({ message }) => released.push(message.payload))
  worker.on("done", ({ message }) => done.push(message.payload))
  await worker.start()
  await expect.poll(async () => (await queue.metrics()).inFlight, { timeout: 10_000 }).toBe(4)
  expect(await workers.suspend("suspendable")).toMatchObject({ state: "suspended", queues: [name] })
  // The handlers still run: nothing but the beat has told it.
  await expect.poll(() => new Set(released), { timeout: 10_000 }).toEqual(new Set([3, 4]))
  expect(await queue.metrics()).toMatchObject({ inFlight: 2, visible: 3 })
  letGo()
  await expect.poll(() => new Set(done), { timeout: 10_000 }).toEqual(new Set([1, 2]))
  await beats("suspendable", 3)
  expect(seen).toEqual([1, 2])
  expect(await queue.metrics()).toMatchObject({ inFlight: 0, visible: 3 })
  expect((await queue.read({ lease: "1ms" }))?.attempt, "what was given back was no attempt").toBe(1)
  await workers.resume("suspendable")
  await expect.poll(() => seen.length, { timeout: 10_000 }).toBe(4)
  letGo()
  await expect.poll(() => seen.length, { timeout: 10_000 }).toBe(5)
  letGo()
  await worker.stop()
  expect(await workers.get("suspendable")).toMatchObject({ state: "stopped", held: 0 })
})

test("suspend: what a claim brings that was on its way is not begun, but given back", async () => {
  const name = await freshQueue(fast)
  const driver = pgDriver(pool)
  const { promise: hold, resolve: claimed } = Promise.withResolvers<void>()
  const slow = createClient({ ...driver, query: async (text, values, options) => {
    const rows = await driver.query(text, values, options)
    if (options?.name === "sluice_read" && rows.length > 0) await hold
    return rows as never
  } }, { listen: false, notify: false })
  const worker = slow.worker([slow.queue(name).handler(({ payload }) => void seen.push(payload))], { name: "late", maintenance: false })
  started.push(worker)
  const seen: unknown[] = []
  const released = new Promise((resolve) => void worker.on("released", resolve))
  await worker.start()
  await client.queue(name).send(1)
  await expect.poll(async () => (await client.queue(name).metrics()).inFlight, { timeout: 10_000 }).toBe(1)
  await workers.suspend("late")
  await beats("late", 2)
  claimed()
  await released
  expect(seen).toEqual([])
})

test("shutdown: the process ends by itself, its handler finished, its row stopped", async () => {
  const name = await freshQueue(fast)
  const one = await child(name, "to-end")
  await client.queue(name).send("work")
  expect(await one.next()).toBe("handled work")
  expect(await workers.shutdown("to-end")).toMatchObject({ state: "stopping" })
  expect(await one.next()).toBe("stopped")
  expect(await one.ended).toBe(0)
  expect(await workers.get("to-end")).toMatchObject({ state: "stopped" })
})

test("shutdown of a suspended one: it stops, too", async () => {
  const name = await freshQueue(fast)
  const one = await child(name, "both")
  await workers.suspend("both")
  await beats("both", 1)
  await workers.shutdown("both")
  expect(await one.next()).toBe("stopped")
})

test("a killed worker is stale after three beats, is stopped by shutdown, and starts anew under its name", async () => {
  const name = await freshQueue(fast)
  await (await child(name, "killed")).kill()
  await expect.poll(async () => (await workers.get("killed")).stale, { timeout: 10_000 }).toBe(true)
  expect(await workers.health({ queue: name })).toMatchObject({ total: 1, running: 1, stale: 1 })
  expect(await workers.shutdown("killed")).toMatchObject({ state: "stopped" })
  await child(name, "killed")
  expect(await workers.get("killed")).toMatchObject({ state: "running", stale: false, shutdownAt: null })
})

test("two processes under one name share a row: an order reaches both, and the end of one does not end the other's", async () => {
  const name = await freshQueue(fast)
  const [first, second] = [await child(name, "shared"), await child(name, "shared")]
  expect(await workers.count({ queue: name })).toBe(1)
  await first.kill()
  await pool.query("select sluice.leave_worker('shared')") // as the first would have on its way out
  await beats("shared", 1)
  expect(await workers.get("shared")).toMatchObject({ state: "running" })
  const third = await child(name, "shared")
  await workers.shutdown("shared")
  expect([await second.next(), await third.next()]).toEqual(["stopped", "stopped"])
  expect(await workers.list({ queue: name })).toMatchObject({ items: [{ name: "shared", state: "stopped" }] })
})

test("a row that is purged under a running worker is there again at its next beat", async () => {
  const name = await freshQueue(fast)
  const worker = client.worker([client.queue(name).handler(() => {})], { name: "purged", hostname: "h", port: 1, maintenance: false })
  started.push(worker)
  await worker.start()
  await pool.query("delete from sluice.worker where name = 'purged'")
  await expect.poll(async () => (await workers.list({ queue: name })).items, { timeout: 10_000 }).toMatchObject([{ name: "purged", hostname: "h", port: 1, state: "running", queues: [name] }])
})

test("a worker says from its first beat on how often it beats: every third of its shortest lease, every 10 seconds at least", async () => {
  const [short, long] = [client.queue(await freshQueue({ lease: "15s" })), client.queue(await freshQueue({ lease: "100d" }))]
  const cases = [[[long.handler(() => {})], "10s"], [[long.handler(() => {}), short.handler(() => {})], "5s"], [[short.handler(() => {}, { lease: "1.5s" })], "500ms"]] as const
  for (const [handlers, every] of cases) {
    const worker = client.worker(handlers, { maintenance: false })
    started.push(worker)
    await worker.start()
    expect((await workers.get(worker.name)).every).toBe(every)
  }
})
