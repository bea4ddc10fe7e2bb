import { setTimeout as sleep } from "node:timers/promises"
import type { Message } from "@sluice/core"
import { expect, test } from "vitest"
import { createGate } from "./helpers/gate.ts"
import { until } from "./helpers/until.ts"
import { workerHarness } from "./helpers/worker-harness.ts"

const { queue, watch, states } = await workerHarness()

const items = (count: number) => Array.from({ length: count }, (_, payload) => ({ payload }))

/** Counts how many run at once, together and by name. */
function meter() {
  const now = new Map<string, number>()
  const most = new Map<string, number>()
  const add = (name: string, by: number): void => {
    const count = (now.get(name) ?? 0) + by
    now.set(name, count)
    most.set(name, Math.max(most.get(name) ?? 0, count))
  }
  const during = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    add(name, 1)
    add("all", 1)
    await work()
    add(name, -1)
    add("all", -1)
  }
  return { during, most: (name: string) => most.get(name) ?? 0 }
}

test.each([0, 7])("many queues, one worker: neither the total nor a handler's concurrency is ever exceeded, and both are reached (prefetch %i)", async (prefetch) => {
  const queues = await Promise.all(Array.from({ length: 5 }, () => queue<number>()))
  const limits = [1, 2, 3, undefined, undefined]
  for (const one of queues) await one.sendBatch(items(40))
  const { during, most } = meter()
  // Until as many run as may, nobody ends: then the limits show.
  const full = Promise.withResolvers<void>()
  const handlers = queues.map((one, i) => one.handler(async (message: Message<number>) => during(one.name, async () => {
    if (most("all") === 15) full.resolve()
    await full.promise
    await sleep(message.payload % 4)
  }), { ...(limits[i] !== undefined && { concurrency: limits[i] }) }))
  const { worker, count } = watch(handlers, { concurrency: 15, prefetch })
  await worker.drain()
  expect(count("done")).toBe(200)
  expect(count("start")).toBe(200)
  expect(most("all")).toBe(15)
  expect(queues.slice(0, 3).map(({ name }) => most(name))).toEqual([1, 2, 3])
})

test.each([0, 40])("a queue with much to do does not starve another (prefetch %i)", async (prefetch) => {
  const [busy, calm] = [await queue<number>(), await queue<number>()]
  await busy.sendBatch(items(2000))
  const order: string[] = []
  const handle = async (message: Message): Promise<void> => {
    order.push(message.queue)
    await sleep(3)
  }
  const { worker } = watch([busy.handler(handle), calm.handler(handle)], { concurrency: 1, prefetch })
  await worker.start()
  await until(() => order.length > 20)
  await calm.sendBatch(items(10))
  const from = order.length
  await until(() => order.filter((name) => name === calm.name).length === 10, "the calm queue is served")
  // In turn: not one of its ten waits for more than some of the busy one's.
  expect(order.length - from).toBeLessThan(150)
  expect(order.slice(from).filter((name) => name === busy.name).length).toBeGreaterThan(5)
})

test("a handler that is slow does not take the places of another that has its own limit left", async () => {
  const [slow, quick] = [await queue<number>(), await queue<number>()]
  await slow.sendBatch(items(20))
  await quick.sendBatch(items(20))
  const gate = createGate()
  const { worker, told } = watch([slow.handler(() => gate.opened, { concurrency: 2 }), quick.handler(() => {})], { concurrency: 3 })
  await worker.start()
  await until(() => told.filter(({ name }) => name === "done").length === 20, "the quick one is through")
  gate.open()
})

test("prefetch: what is claimed and not handled is never more than concurrency + prefetch, and that much is claimed ahead", async () => {
  const jobs = await queue<number>()
  await jobs.sendBatch(items(50))
  const gate = createGate()
  let begun = 0
  const { worker } = watch([jobs.handler(() => (begun++, gate.opened))], { concurrency: 3, prefetch: 4, pollInterval: "5ms" })
  await worker.start()
  const inFlight = async (): Promise<number> => (await states(jobs.name)).filter(({ state }) => state === "inFlight").length
  await until(async () => (await inFlight()) === 7)
  for (let look = 0; look < 20; look++) {
    await sleep(5)
    expect(await inFlight()).toBe(7)
    expect(begun).toBe(3)
  }
  gate.open()
  await worker.drain()
  expect(begun).toBe(50)
})

test("what was claimed ahead is given back at stop, at once and uncharged, while a handler still runs", async () => {
  const jobs = await queue<number>()
  const ids = await jobs.sendBatch(items(10))
  const gate = createGate()
  const { worker, of } = watch([jobs.handler(() => gate.opened)], { concurrency: 1, prefetch: 3 })
  await worker.start()
  await until(async () => (await states(jobs.name)).filter(({ state }) => state === "inFlight").length === 4)
  const stopped = worker.stop()
  await until(async () => (await states(jobs.name)).filter(({ state }) => state === "inFlight").length === 1)
  expect(await states(jobs.name)).toMatchObject(ids.map((id, i) => ({ id, attempt: i === 0 ? 1 : 0, state: i === 0 ? "inFlight" : "visible" })))
  gate.open()
  await stopped
  expect(of(ids[0]!)).toEqual(["start", "done"])
  for (const id of ids.slice(1, 4)) expect(of(id)).toEqual(["released"])
})
