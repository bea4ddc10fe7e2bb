import { setTimeout as sleep } from "node:timers/promises"
import { createClient, HandlerTimeoutError, outcome } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { startProxy } from "@sluice/testkit"
import { expect, test } from "vitest"
import { openPool } from "./helpers/harness.ts"
import { until } from "./helpers/until.ts"
import { workerHarness } from "./helpers/worker-harness.ts"

const { url, pool, client, queue, watch, states } = await workerHarness()

const backoff = { kind: "fixed", base: "1h", max: "1h" } as const

class Unreadable extends Error {
  override get message(): string {
    throw new Error("not even its message")
  }
}

test.each<[string, () => unknown, string, string?]>([
  ["throws at once", () => { throw new Error("at once") }, "retry", "at once"],
  ["rejects later", async () => { await sleep(1); throw new Error("later") }, "retry", "later"],
  ["throws undefined", () => { throw undefined }, "retry", "undefined"],
  ["rejects with nothing", () => Promise.reject(), "retry", "undefined"],
  ["throws null", () => { throw null }, "retry", "null"],
  ["throws a string", () => { throw "just a text" }, "retry", "just a text"],
  ["throws an object without a prototype", () => { throw Object.create(null) }, "retry", "{}"],
  ["throws what Postgres cannot hold", () => { throw new Error("\0\uD800") }, "retry", ""],
  ["throws an error that cannot be read", () => { throw new Unreadable() }, "retry", "could not be read"],
  ["throws an outcome", () => { throw outcome.snooze("1h") }, "snooze"],
  ["returns an outcome", () => outcome.deadLetter(), "dead"],
  ["returns what is no outcome", () => ({ to: "retry" }), "done"],
])("a handler that %s does not end the loop, nor touches the others of its settle", async (_, fail, event, message) => {
  const jobs = await queue<string>({ backoff })
  const [bad, ...good] = await jobs.sendBatch(["bad", "good", "good"].map((payload) => ({ payload })))
  const { worker, of } = watch([jobs.handler(({ payload }) => (payload === "bad" ? fail() : undefined))])
  await worker.start()
  await until(() => good.every((id) => of(id).includes("done")) && of(bad!).length === 2)
  expect(of(bad!)).toEqual(["start", event])
  if (message !== undefined) expect((await client.admin.messages.get(bad!))!.errors[0]!.message).toContain(message)
  const next = await jobs.send("good")
  await until(() => of(next).includes("done"))
})

test("a handler that never returns has its timeout: its signal fires, the message is retried with that error, and its place is free", async () => {
  const jobs = await queue<string>({ backoff })
  const id = await jobs.send("hangs")
  const reasons: unknown[] = []
  const { worker, of } = watch([
    jobs.handler(({ payload }, { signal }) => {
      if (payload !== "hangs") return
      signal.addEventListener("abort", () => reasons.push(signal.reason))
      return new Promise(() => {})
    }, { timeout: "30ms" }),
  ], { concurrency: 1 })
  await worker.start()
  await until(() => of(id).includes("retry"))
  expect(reasons).toMatchObject([expect.any(HandlerTimeoutError)])
  expect((await client.admin.messages.get(id))!.errors).toMatchObject([{ name: "HandlerTimeoutError", attempt: 1, worker: worker.name }])
  const next = await jobs.send("quick")
  await until(() => of(next).includes("done"))
})

test("a handler that ends in its own way when its time is over is retried with the timeout's error too", async () => {
  const jobs = await queue<string>({ backoff })
  const ids = await jobs.sendBatch([{ payload: "throws" }, { payload: "returns" }])
  const { worker, of } = watch([
    jobs.handler(({ payload }, { signal }) => new Promise((resolve, reject) => signal.addEventListener("abort", () => (payload === "throws" ? reject(new Error("my own")) : resolve(1)))), { timeout: "20ms" }),
  ])
  await worker.start()
  await until(() => ids.every((id) => of(id).includes("retry")))
  for (const id of ids) expect((await client.admin.messages.get(id))!.errors).toMatchObject([{ name: "HandlerTimeoutError" }])
})

test("one that times out late, after the worker has let it go, neither ends the process nor settles anything", async () => {
  const jobs = await queue<string>({ backoff: null, maxAttempts: 2 })
  const id = await jobs.send("late")
  let rejected = 0
  const { worker, of } = watch([
    jobs.handler(async () => {
      await sleep(80)
      rejected++
      throw new Error("too late")
    }, { timeout: "20ms" }),
  ])
  await worker.start()
  await until(() => of(id).includes("dead"))
  await until(() => rejected === 2)
  expect((await client.admin.archive.get(id))!.errors.map(({ name }) => name)).toEqual(["HandlerTimeoutError", "HandlerTimeoutError"])
})

/** A client of its own, whose connections can be named, and cut. */
async function cuttable(size = 4) {
  const proxy = await startProxy(url)
  const own = openPool(proxy.url.replace(/$/, "?application_name=victim"), size)
  const other = createClient(pgDriver(own), { listen: false, notify: false })
  return {
    client: other,
    proxy,
    /** Ends every backend of it, at once. */
    terminate: async () => (await pool.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'victim'")).rowCount!,
    end: async () => {
      await proxy.refuse(false)
      await other.close()
      await own.end()
      await proxy.stop()
    },
  }
}

test("connections that are ended by the server, in the middle of claims, handlers and settles, again and again: every message is handled, and the loop goes on", async () => {
  const { client: other, terminate, end } = await cuttable()
  const jobs = await queue<number>({ lease: "600ms", backoff: null, maxAttempts: null })
  const ids = await jobs.sendBatch(Array.from({ length: 300 }, (_, payload) => ({ payload })))
  const handled = new Set<string>()
  const { worker, count } = watch([other.queue(jobs.name).handler(async ({ id }) => {
    await sleep(3)
    handled.add(id)
  })], { concurrency: 5, prefetch: 5, pollInterval: "50ms" }, other)
  await worker.start()
  for (let cuts = 0; cuts < 12; cuts++) {
    await terminate()
    await sleep(30)
  }
  await until(async () => (await states(jobs.name)).length === 0, "all are settled")
  expect(handled.size).toBe(ids.length)
  expect(count("error")).toBeGreaterThan(0)
  const last = await jobs.send(1)
  await until(() => handled.has(last))
  await worker.stop({ timeout: "5s" })
  await end()
})

test("a server that refuses for a while: what is held is settled when it is back, within its lease, and the loop goes on", async () => {
  const { client: other, proxy, end } = await cuttable()
  const jobs = await queue<number>({ lease: "30s" })
  const id = await jobs.send(1)
  let [began, go] = [0, () => {}]
  const gate = new Promise<void>((resolve) => (go = resolve))
  const { worker, of, count } = watch([other.queue(jobs.name).handler(() => (began++, gate))], { pollInterval: "20ms" }, other)
  await worker.start()
  await until(() => began === 1)
  await proxy.refuse(true)
  proxy.cut()
  go()
  await until(() => count("error") >= 3)
  expect(of(id)).toEqual(["start"])
  await proxy.refuse(false)
  await until(() => of(id).includes("done"))
  expect(began).toBe(1)
  const next = await jobs.send(2)
  await until(() => of(next).includes("done"))
  await worker.stop()
  await end()
})

test("a worker that has failed again and again, and waits ever longer, looks again as soon as its beat comes through", async () => {
  const own = openPool(url, 3)
  const inner = pgDriver(own)
  let broken = false
  const failed = { read: 0, beat: 0 }
  const came = { read: 0, beat: 0 }
  const other = createClient({ ...inner, query: async (text, values, options) => {
    const name = options?.name?.slice("sluice_".length) as keyof typeof came
    ;(broken ? failed : came)[name]++
    if (broken) throw new Error("the server is away")
    return inner.query(text, values, options) as never
  } }, { listen: false, notify: false })
  const jobs = await queue<number>()
  const { worker } = watch([other.queue(jobs.name).handler(() => {}, { lease: "60ms" })], {}, other)
  await worker.start()
  await until(() => came.read > 0)
  broken = true
  // After the second the next look would come in 2 s: in a hundred beats.
  await until(() => failed.read >= 2 && failed.beat >= 1)
  came.read = came.beat = 0
  broken = false
  await until(() => came.read > 0)
  expect(came.beat).toBeLessThan(20)
  await worker.stop()
  await other.close()
  await own.end()
})

test("stop while the server refuses ends in time, tells of it, and the message is delivered again after its lease", async () => {
  const { client: other, proxy, end } = await cuttable()
  const jobs = await queue<number>({ lease: "500ms" })
  const id = await jobs.send(1)
  const { worker, count } = watch([other.queue(jobs.name).handler(() => new Promise(() => {}))], {}, other)
  await worker.start()
  await until(() => count("start") === 1)
  await proxy.refuse(true)
  proxy.cut()
  await worker.stop({ timeout: "50ms" })
  expect(count("error")).toBeGreaterThan(0)
  await until(async () => (await states(jobs.name))[0]!.state === "visible")
  expect(await jobs.read()).toMatchObject({ id, attempt: 2 })
  await end()
})

test("a queue that is dropped and made again under a worker is served again", async () => {
  const jobs = await queue<number>()
  const { worker, count } = watch([jobs.handler(() => {})], { pollInterval: "20ms" })
  await worker.start()
  await client.admin.dropQueue(jobs.name)
  await until(() => count("error") > 0)
  await client.admin.createQueue(jobs.name)
  await jobs.send(1)
  await until(() => count("done") === 1)
})
