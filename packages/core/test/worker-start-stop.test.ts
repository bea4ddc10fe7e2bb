import { setTimeout as sleep } from "node:timers/promises"
import { AbortedError, ConnectionError, createClient, InvalidOptionError, QueueNotFoundError, WorkerStoppedError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { startProxy } from "@sluice/testkit"
import { expect, test } from "vitest"
import { startChild } from "./helpers/child.ts"
import { errorOf } from "./helpers/error-of.ts"
import { createGate } from "./helpers/gate.ts"
import { openPool } from "./helpers/harness.ts"
import { until } from "./helpers/until.ts"
import { workerHarness } from "./helpers/worker-harness.ts"

const { url, pool, client, queue, watch, states } = await workerHarness()

const rowsOf = async (name: string) => (await pool.query("select state, held, queues, every::text from sluice.worker where name = $1", [name])).rows

const someoneWaits = async (): Promise<boolean> => (await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount! > 0

test("start: a queue that is not there is QueueNotFoundError, and no row of the worker stays", async () => {
  const jobs = await queue()
  const { worker } = watch([jobs.handler(() => {}), client.queue("nowhere").handler(() => {})], { name: "never" })
  const error = await errorOf(worker.start())
  expect(error).toBeInstanceOf(QueueNotFoundError)
  expect(error).toMatchObject({ queue: "nowhere" })
  expect(await rowsOf("never")).toEqual([])
  await client.admin.createQueue("nowhere")
  await worker.start()
  expect(await rowsOf("never")).toMatchObject([{ state: "running" }])
})

test("start: a queue that a running worker of the same name has is not taken from it by one that cannot start", async () => {
  const jobs = await queue()
  await watch([jobs.handler(() => {})], { name: "same" }).worker.start()
  await errorOf(watch([client.queue("gone").handler(() => {})], { name: "same" }).worker.start())
  expect(await rowsOf("same")).toMatchObject([{ state: "running", queues: [jobs.name] }])
})

test("start: where the database cannot be reached it rejects, and may be tried again", async () => {
  const proxy = await startProxy(url)
  await proxy.refuse(true)
  const own = openPool(proxy.url, 2)
  const other = createClient(pgDriver(own), { listen: false })
  const jobs = await queue<number>()
  const { worker, count } = watch([other.queue(jobs.name).handler(() => {})], {}, other)
  expect(await errorOf(worker.start())).toBeInstanceOf(ConnectionError)
  await proxy.refuse(false)
  await jobs.send(1)
  await worker.start()
  await until(() => count("done") === 1)
  await other.close()
  await own.end()
  await proxy.stop()
})

test("start: twice is once, after stop it is refused, and stop before it is nothing", async () => {
  const jobs = await queue<number>()
  await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  let running = 0
  let most = 0
  const { worker, told } = watch([jobs.handler(async () => {
    most = Math.max(most, ++running)
    await sleep(20)
    running--
  })], { concurrency: 1 })
  await Promise.all([worker.start(), worker.start(), worker.start()])
  await until(() => told.filter(({ name }) => name === "done").length === 2)
  expect(most).toBe(1)
  await worker.stop()
  expect(await errorOf(worker.start())).toBeInstanceOf(InvalidOptionError)
  const { worker: idle } = watch([jobs.handler(() => {})], { name: "idle" })
  await idle.stop()
  expect(await errorOf(idle.start())).toBeInstanceOf(InvalidOptionError)
  expect(await rowsOf("idle")).toEqual([])
})

test("the worker's row says what it is, and after stop that it has stopped and holds nothing", async () => {
  const jobs = await queue()
  const { worker } = watch([jobs.handler(() => {})], { name: "seen" })
  await worker.start()
  expect(await rowsOf("seen")).toMatchObject([{ state: "running", queues: [jobs.name] }])
  await worker.stop()
  expect(await rowsOf("seen")).toMatchObject([{ state: "stopped", held: 0 }])
})

test("stop: handlers that run finish, nothing begins, and it resolves when all is settled", async () => {
  const jobs = await queue<number>()
  const ids = await jobs.sendBatch(Array.from({ length: 8 }, (_, payload) => ({ payload })))
  const gate = createGate()
  const { worker, count, told } = watch([jobs.handler(() => gate.opened)], { concurrency: 3 })
  await worker.start()
  await until(() => count("start") === 3)
  const stopped = worker.stop().then(() => told.push({ name: "stopped", id: "resolved", event: { worker: "" } }))
  await sleep(20)
  expect(count("stopped")).toBe(0)
  gate.open()
  await stopped
  expect(count("start")).toBe(3)
  expect(count("done")).toBe(3)
  expect(told.at(-1)!.id).toBe("resolved")
  expect(await states(jobs.name)).toMatchObject(ids.slice(3).map((id) => ({ id, state: "visible", attempt: 0 })))
})

test.each([1, 3])("stop: handlers over the timeout get WorkerStoppedError, and their messages are ready for others at once (calls of %i)", async (size) => {
  const jobs = await queue<number>({ backoff: { kind: "fixed", base: "1h", max: "1h" } })
  await jobs.sendBatch(Array.from({ length: 6 }, (_, payload) => ({ payload })))
  const reasons: unknown[] = []
  const hang = (_: unknown, { signal }: { signal: AbortSignal }) => new Promise(() => signal.addEventListener("abort", () => reasons.push(signal.reason)))
  const { worker, count } = watch([size === 1 ? jobs.handler(hang) : jobs.batchHandler(hang, { size })], { concurrency: 6 / size })
  await worker.start()
  await until(() => count("start") === 6)
  await worker.stop({ timeout: "20ms" })
  expect(reasons).toHaveLength(6 / size)
  expect(reasons.every((reason) => reason instanceof WorkerStoppedError)).toBe(true)
  expect(count("released")).toBe(6)
  expect(await states(jobs.name)).toMatchObject(Array.from({ length: 6 }, () => ({ state: "visible", attempt: 1 })))
  expect(await jobs.readBatch({ limit: 10 })).toHaveLength(6)
})

test("stop: who asks again with less patience is heard", async () => {
  const jobs = await queue<number>()
  await jobs.send(1)
  const { worker, count } = watch([jobs.handler(() => new Promise(() => {}))])
  await worker.start()
  await until(() => count("start") === 1)
  const first = worker.stop({ timeout: "1h" })
  await Promise.all([worker.stop({ timeout: 0 }), worker.stop({ timeout: "1h" })])
  await first
  expect(count("released")).toBe(1)
  expect(count("stopped")).toBe(1)
})

test("stop during a claim in flight waits for it and loses nothing, even without any patience", async () => {
  const jobs = await queue<number>({ lease: "1h" })
  const id = await jobs.send(1)
  const { worker, count, of } = watch([jobs.handler(() => {})])
  const lock = await pool.connect()
  await lock.query("begin; lock table sluice.message in share mode")
  await worker.start()
  await until(someoneWaits)
  const stopped = worker.stop({ timeout: 0 })
  // Longer than handlers are waited for.
  await sleep(1200)
  expect(count("stopped")).toBe(0)
  await lock.query("commit")
  lock.release()
  await stopped
  expect(of(id)).toEqual(["released"])
  expect(await states(jobs.name)).toMatchObject([{ id, state: "visible", attempt: 0 }])
})

test("no handler begins after stop, not even one that was about to be asked about", async () => {
  const jobs = await queue<number>()
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  const { worker, of } = watch([jobs.handler(() => sleep(500))], { concurrency: 1, prefetch: 1 })
  await worker.start()
  await until(() => of(ids[0]!).includes("start"))
  // The second waits for longer than a claim is trusted, so that it is asked for; that takes until after stop.
  const lock = await pool.connect()
  await lock.query("begin; lock table sluice.worker in access exclusive mode")
  await until(someoneWaits)
  const stopped = worker.stop()
  await lock.query("commit")
  lock.release()
  await stopped
  expect(new Set(of(ids[1]!))).toEqual(new Set(["released"]))
  expect(await states(jobs.name)).toMatchObject([{ id: ids[1], attempt: 0, state: "visible" }])
})

test("signal: stops it, before the start too, and while it starts", async () => {
  const jobs = await queue<number>()
  expect(await errorOf(watch([jobs.handler(() => {})], { signal: AbortSignal.abort(new Error("no")) }).worker.start())).toBeInstanceOf(AbortedError)

  const during = new AbortController()
  const starting = watch([jobs.handler(() => {})], { signal: during.signal, name: "during" })
  const started = starting.worker.start()
  during.abort()
  await started
  await until(() => starting.count("stopped") === 1)

  const later = new AbortController()
  const { worker, count } = watch([jobs.handler(() => {})], { signal: later.signal })
  await worker.start()
  later.abort()
  await until(() => count("stopped") === 1)
})

test("client.close() stops workers: what runs finishes, what waits is given back", async () => {
  const own = openPool(url, 3)
  const other = createClient(pgDriver(own), { listen: false })
  const jobs = await queue<number>()
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }, { payload: 3 }])
  const gate = createGate()
  const { worker, of } = watch([other.queue(jobs.name).handler(() => gate.opened)], { concurrency: 1, prefetch: 2 }, other)
  await worker.start()
  await until(() => of(ids[0]!).length === 1)
  const closed = other.close()
  gate.open()
  await closed
  expect(of(ids[0]!)).toEqual(["start", "done"])
  expect(await states(jobs.name)).toMatchObject(ids.slice(1).map((id) => ({ id, state: "visible", attempt: 0 })))
  expect((await errorOf(worker.start())).message).toContain("after stop")
  await own.end()
})

test.each([true, false])("a process that starts, works and stops ends by itself (listen: %s)", async (listen) => {
  const jobs = await queue<number>()
  const id = await jobs.send(1)
  const child = startChild("worker-child.ts", JSON.stringify({ url, queue: jobs.name, handler: "return", listen, thenStop: true, options: { maintenance: true } }))
  const events = [await child.next(), await child.next(), await child.next()]
  expect(events).toMatchObject([{ event: "start", id }, { event: "done", id }, { event: "stopped" }])
  expect(await child.ended).toBe(0)
})

test("drain: also what handlers send to other queues of the worker and what is retried at once; not what is delayed", async () => {
  const [first, second] = [await queue<number>({ backoff: null }), await queue<number>({ backoff: null })]
  await first.sendBatch([1, 2, 3].map((payload) => ({ payload })))
  const delayed = await first.send(9, { delay: "1h" })
  const failures = new Set<string>()
  const failOnce = (id: string): void => {
    if (failures.has(id)) return
    failures.add(id)
    throw new Error("once")
  }
  const { worker, count } = watch([
    first.handler(async (message) => {
      failOnce(message.id)
      await sleep(5)
      await second.send(message.payload)
      if (message.payload === 1) await first.send(10)
    }),
    second.handler(async (message) => {
      failOnce(message.id)
      await sleep(5)
    }),
  ], { pollInterval: "50ms" })
  await worker.drain()
  expect(count("done")).toBe(8)
  expect(count("retry")).toBe(8)
  expect(count("stopped")).toBe(1)
  expect(await states(first.name)).toMatchObject([{ id: delayed, attempt: 0 }])
  expect(await states(second.name)).toEqual([])
})

test("drain of empty queues ends; of a worker that runs, too; a stop meanwhile ends it", async () => {
  const jobs = await queue<number>()
  await watch([jobs.handler(() => {})]).worker.drain()
  const running = watch([jobs.handler(() => sleep(5))])
  await running.worker.start()
  await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  await running.worker.drain()
  expect(running.count("done")).toBe(2)
  await jobs.send(3)
  const stuck = watch([jobs.handler(() => new Promise(() => {}))])
  const drained = stuck.worker.drain()
  await until(() => stuck.count("start") === 1)
  await stuck.worker.stop({ timeout: 0 })
  await drained
})

test("drain ends of a queue that is dropped meanwhile", async () => {
  const jobs = await queue<number>()
  await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  const { worker, count } = watch([jobs.handler(() => client.admin.dropQueue(jobs.name, { force: true }))], { concurrency: 1 })
  await worker.drain()
  expect(count("start")).toBe(1)
})

test("runFor: claims for as long, lets what runs finish, and stops", async () => {
  const jobs = await queue<number>()
  await jobs.sendBatch(Array.from({ length: 200 }, (_, payload) => ({ payload })))
  const { worker, count } = watch([jobs.handler(() => sleep(30))], { concurrency: 2 })
  await worker.runFor("120ms")
  expect(count("start")).toBe(count("done"))
  expect(count("done")).toBeGreaterThan(0)
  expect(await states(jobs.name)).toHaveLength(200 - count("done"))
  expect((await states(jobs.name)).every(({ state, attempt }) => state === "visible" && attempt === 0)).toBe(true)
  const over = watch([jobs.handler(() => new Promise(() => {}))], { concurrency: 1 })
  await over.worker.runFor("20ms", { timeout: 0 })
  expect(over.count("released")).toBe(over.count("start"))
})

test("listeners: each gets its event, one that throws or rejects is told as an error and ends nothing", async () => {
  const jobs = await queue<number>()
  const { worker, told, count } = watch([jobs.handler(() => {})])
  let after = 0
  const off = worker.on("start", () => after++)
  worker.on("done", () => {
    throw new Error("a listener throws")
  })
  worker.on("done", async () => Promise.reject(new Error("a listener rejects")))
  worker.on("error", () => {
    throw new Error("who listens to errors throws")
  })
  worker.on("error", async () => Promise.reject(new Error("and rejects")))
  await worker.start()
  await jobs.send(1)
  await until(() => count("error") === 2)
  off()
  await jobs.send(2)
  await until(() => count("error") === 4)
  expect(after).toBe(1)
  expect(new Set(told.filter(({ name }) => name === "error").map(({ event }) => String((event as { error: unknown }).error)))).toEqual(new Set(["Error: a listener throws", "Error: a listener rejects"]))
})
