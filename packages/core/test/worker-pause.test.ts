import { setTimeout as sleep } from "node:timers/promises"
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterAll, expect, test } from "vitest"
import { startChild } from "./helpers/child.ts"
import { createGate } from "./helpers/gate.ts"
import { openPool } from "./helpers/harness.ts"
import { until } from "./helpers/until.ts"
import { workerHarness } from "./helpers/worker-harness.ts"

const { url, client, queue, watch, states } = await workerHarness()
const { admin } = client

test("two processes: a second after pauseQueue resolves no handler begins any more, what runs finishes, sends go on, and resume has all of it handled", async () => {
  const jobs = await queue<number>()
  await jobs.sendBatch(Array.from({ length: 120 }, (_, payload) => ({ payload })))
  const begun: number[] = []
  const counts = { start: 0, done: 0, released: 0, error: 0 }
  const children = [1, 2].map(() => startChild("worker-child.ts", JSON.stringify({ url, queue: jobs.name, handler: 100, options: { concurrency: 2, prefetch: 30, pollInterval: "50ms" } })))
  const reading = children.map(async (child) => {
    for (;;) {
      const { event } = await child.next<{ event: keyof typeof counts }>()
      counts[event]++
      if (event === "start") begun.push(performance.now())
    }
  })
  const ended = Promise.allSettled(reading)
  await until(() => counts.done > 8)
  await admin.pauseQueue(jobs.name)
  const paused = performance.now()
  // What was claimed ahead is given back, uncharged; only handlers that ran settle.
  await until(async () => (await states(jobs.name)).every(({ state }) => state === "visible"), "nothing is held any more")
  const before = await states(jobs.name)
  expect(before.length).toBeGreaterThan(60)
  expect(before.every(({ attempt }) => attempt === 0)).toBe(true)
  expect(begun.filter((at) => at > paused + 1000)).toEqual([])
  const more = await jobs.send(1000)
  expect(await jobs.read()).toBeNull()
  expect(await jobs.readBatch({ limit: 10 })).toEqual([])
  expect(await jobs.pop()).toBeNull()
  expect(await jobs.readWithPoll({ wait: "50ms" })).toEqual([])
  expect(counts.start).toBe(counts.done)
  expect(counts.released).toBeGreaterThan(20)
  const startedBefore = counts.start
  await sleep(300)
  expect(counts.start).toBe(startedBefore)
  expect((await admin.messages.get(more))!.attempt).toBe(0)
  await admin.resumeQueue(jobs.name)
  await until(async () => (await states(jobs.name)).length === 0)
  await until(() => counts.done === 121)
  expect(counts.error).toBe(0)
  await Promise.all(children.map((child) => child.kill()))
  await ended
}, 60_000)

test("a handler that runs while its queue is paused keeps its lease, and settles", async () => {
  const jobs = await queue<number>({ lease: "1500ms" })
  const id = await jobs.send(1)
  const gate = createGate()
  const { worker, of } = watch([jobs.handler(() => gate.opened)])
  await worker.start()
  await until(() => of(id).length === 1)
  const [first] = await states(jobs.name)
  await admin.pauseQueue(jobs.name)
  await until(async () => (await states(jobs.name))[0]!.vt > first!.vt + 2000)
  gate.open()
  await until(() => of(id).length === 2)
  expect(of(id)).toEqual(["start", "done"])
})

test("what was claimed ahead more than a moment before the pause never begins, uncharged, though its worker polls and beats rarely", async () => {
  const jobs = await queue<number>()
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }, { payload: 3 }])
  const gate = createGate()
  const { worker, of } = watch([jobs.handler(() => gate.opened)], { concurrency: 1, prefetch: 2, pollInterval: "1h" })
  await worker.start()
  await until(async () => (await states(jobs.name)).every(({ state }) => state === "inFlight"))
  await sleep(450)
  await admin.pauseQueue(jobs.name)
  gate.open()
  await until(() => ids.slice(1).every((id) => of(id).includes("released")))
  expect(ids.map((id) => of(id))).toEqual([["start", "done"], ["released"], ["released"]])
  expect(await states(jobs.name)).toMatchObject(ids.slice(1).map((id) => ({ id, attempt: 0, state: "visible" })))
})

test("what waits long to begin, of a queue that is not paused, begins: also where the network is slower than a claim is trusted", async () => {
  const own = openPool(url, 4)
  const inner = pgDriver(own)
  const other = createClient({ ...inner, query: async (text, values, options) => {
    const rows = await inner.query(text, values, options)
    await sleep(500)
    return rows as never
  } }, { listen: false, notify: false })
  afterAll(async () => {
    await other.close()
    await own.end()
  })
  const jobs = await queue<number>()
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }, { payload: 3 }])
  const { worker, of } = watch([other.queue(jobs.name).handler(() => {})], { concurrency: 1, prefetch: 2 }, other)
  await worker.start()
  await until(() => ids.every((id) => of(id).includes("done")))
  expect(ids.map((id) => of(id))).toEqual(ids.map(() => ["start", "done"]))
})

test("a claim whose answer comes long after the pause begins no handler", async () => {
  const own = openPool(url, 4)
  const inner = pgDriver(own)
  const gate = createGate()
  const other = createClient({ ...inner, query: async (text, values, options) => {
    const rows = await inner.query(text, values, options)
    if (options?.name === "sluice_read") await gate.opened
    return rows as never
  } }, { listen: false, notify: false })
  afterAll(async () => {
    await other.close()
    await own.end()
  })
  const jobs = await queue<number>()
  const id = await jobs.send(1)
  const { worker, of } = watch([other.queue(jobs.name).handler(() => {})], {}, other)
  await worker.start()
  await until(async () => (await states(jobs.name))[0]!.state === "inFlight")
  await admin.pauseQueue(jobs.name)
  await sleep(450)
  gate.open()
  await until(() => of(id).length > 0)
  expect(of(id)).toEqual(["released"])
})

test("resume wakes a worker that would not look for an hour", async () => {
  const own = openPool(url, 3)
  const other = createClient(pgDriver(own), { listen: true })
  afterAll(async () => {
    await other.close()
    await own.end()
  })
  const jobs = await queue<number>()
  await admin.pauseQueue(jobs.name)
  const { worker, count } = watch([other.queue(jobs.name).handler(() => {})], { pollInterval: "1h" }, other)
  let idle = 0
  worker.on("idle", () => idle++)
  await worker.start()
  while (idle < 16) {
    const seen = idle
    await other.wake(jobs.name)
    await until(() => idle > seen)
  }
  await jobs.send(1)
  await admin.resumeQueue(jobs.name)
  await until(() => count("done") === 1, "the worker is woken")
})

test("a paused queue stays paused: over restarts of workers, updates of its options, and a second pause; drain of it ends", async () => {
  const jobs = await queue<number>()
  const first = await admin.pauseQueue(jobs.name)
  expect(first.pausedAt).toBeInstanceOf(Date)
  expect((await admin.pauseQueue(jobs.name)).pausedAt).toEqual(first.pausedAt)
  const id = await jobs.send(1)
  for (let n = 0; n < 2; n++) {
    const { worker, count } = watch([jobs.handler(() => {})])
    await worker.drain()
    expect(count("start")).toBe(0)
  }
  await admin.updateQueue(jobs.name, { lease: "1m" })
  expect((await admin.getQueue(jobs.name)).pausedAt).toEqual(first.pausedAt)
  await admin.createQueue(jobs.name)
  expect(await jobs.read()).toBeNull()
  expect((await admin.resumeQueue(jobs.name)).pausedAt).toBeNull()
  expect(await jobs.read()).toMatchObject({ id, attempt: 1 })
})
