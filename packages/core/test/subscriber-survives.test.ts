import { setTimeout as sleep } from "node:timers/promises"
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { startProxy } from "@sluice/testkit"
import { expect, test } from "vitest"
import { createGate } from "./helpers/gate.ts"
import { openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { subscriberHarness } from "./helpers/subscriber-harness.ts"
import { until } from "./helpers/until.ts"

const { url, pool, client, stream, publish, watch } = await subscriberHarness()

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

const numbers = (count: number) => Array.from({ length: count }, (_, data) => ({ type: "n", data }))

test("connections that the server ends, in the middle of looks, handlers and finishes, again and again: every event is handled, none is charged", async () => {
  const { client: other, terminate, end } = await cuttable()
  const events = await stream({ lease: "5s", backoff: null })
  await events.publishBatch(numbers(200))
  const done = new Set<unknown>()
  const attempts = new Set<number>()
  const { subscriber, count, said } = watch(events, async ({ data, attempt }) => {
    await sleep(3)
    attempts.add(attempt)
    done.add(data)
  }, { members: 2, maxEvents: 10, concurrency: 2 }, other)
  await subscriber.start()
  for (let cuts = 0; cuts < 12; cuts++) {
    await terminate()
    await sleep(30)
  }
  await until(() => count("done") >= 200, "all are done")
  expect(done.size).toBe(200)
  expect([...attempts]).toEqual([1])
  expect(said().filter((one) => !one.startsWith("done"))).toEqual([])
  await publish(events, "last")
  await until(() => done.has("last"))
  await subscriber.stop({ timeout: "5s" })
  await end()
})

test("a server that refuses for a while: what is handled is finished when it is back, within its lease, and is not done twice", async () => {
  const { client: other, proxy, end } = await cuttable()
  const events = await stream({ lease: "30s" })
  await publish(events, 1)
  let began = 0
  const gate = createGate()
  const { subscriber, said, count } = watch(events, () => (began++, gate.opened), { pollInterval: "20ms" }, other)
  await subscriber.start()
  await until(() => began === 1)
  await proxy.refuse(true)
  proxy.cut()
  gate.open()
  await until(() => count("error") >= 3)
  expect(said()).toEqual([])
  await proxy.refuse(false)
  await until(() => said().includes("done 1"))
  expect(began).toBe(1)
  await publish(events, 2)
  await until(() => said().includes("done 2"))
  await end()
})

test("stop while the server refuses ends in time, tells of it, and the batch comes again after its lease", async () => {
  const { client: other, proxy, end } = await cuttable()
  const events = await stream({ lease: "500ms" })
  await publish(events, 1)
  const { subscriber, count } = watch(events, () => new Promise(() => {}), {}, other)
  await subscriber.start()
  await until(() => count("batch") === 1)
  await proxy.refuse(true)
  proxy.cut()
  await subscriber.stop({ timeout: "50ms" })
  expect(count("error")).toBeGreaterThan(0)
  expect(await until(() => events.subscription("s").nextBatch())).toMatchObject({ attempt: 2, count: 1 })
  await end()
})

test("one that cannot finish tries again and again, ever later, and handles nothing meanwhile", async () => {
  const events = await stream({ lease: "400ms" })
  await publish(events, 1)
  const inner = pgDriver(pool)
  let broken = true
  let refused = 0
  const other = createClient({ ...inner, query: async (text, values, options) => {
    if (broken && options?.name === "sluice_finish_batch") {
      refused++
      throw new Error("not today")
    }
    return inner.query(text, values, options) as never
  } }, { listen: false, notify: false })
  let handled = 0
  const { subscriber, said, count } = watch(events, () => void handled++, { pollInterval: "5ms" }, other)
  await subscriber.start()
  // Once the time of the lease is over it is given up, and begun anew after a pause.
  await until(() => handled === 2)
  expect(refused).toBeLessThan(8)
  expect(count("error")).toBe(refused)
  expect(said()).toEqual([])
  broken = false
  await until(() => said().length === 1)
  expect(said()).toEqual(["done 1"])
})

test("listeners that throw, reject, or throw of errors, end nothing", async () => {
  const events = await stream()
  await publish(events, 1, 2)
  const { subscriber, said, count } = watch(events, () => {})
  for (const name of ["batch", "done", "finished", "idle", "error", "stopped"] as const) {
    subscriber.on(name, () => { throw new Error(`${name} listener`) })
    subscriber.on(name, () => Promise.reject(new Error(`${name} listener, later`)) as never)
  }
  await subscriber.drain()
  await until(() => count("stopped") === 1)
  expect(said()).toEqual(["done 1", "done 2"])
  expect(count("error")).toBeGreaterThan(6)
})

test("a subscription that is dropped and made again under a subscriber is served again; a batch of the old one is lost", async () => {
  const events = await stream()
  const [began, gate] = [createGate(), createGate()]
  const { subscriber, said, errors, count } = watch(events, async ({ data }) => {
    if (data !== 1) return
    began.open()
    await gate.opened
  }, { pollInterval: "20ms" })
  await subscriber.start()
  await publish(events, 1)
  await began.opened
  await client.admin.dropSubscription(events.name, "s")
  gate.open()
  await until(() => errors().some((error) => error.includes("has no subscription")))
  await client.admin.createSubscription(events.name, "s")
  await publish(events, 2)
  await until(() => said().includes("done 2"))
  expect(said()).toEqual(["done 2"])
  await client.admin.dropStream(events.name, { force: true })
  await until(() => errors().some((error) => error.includes("no stream")))
  await client.admin.createStream(events.name)
  await client.admin.createSubscription(events.name, "s")
  await publish(events, 3)
  await until(() => count("done") === 2)
})

test("a batch that another took meanwhile is told of as lost, and settled once", async () => {
  const events = await stream({ lease: "600ms" })
  await publish(events, 1)
  const began = createGate()
  const signals: AbortSignal[] = []
  const { subscriber, said, count } = watch(events, ({ data }, { signal }) => {
    signals.push(signal)
    if (data === 2) return undefined
    began.open()
    return new Promise(() => {})
  })
  await subscriber.start()
  await began.opened
  const other = events.subscription("s")
  let minutes = 0
  const taken = await until(async () => {
    await moveClock(pool, `${++minutes} minutes`)
    return other.nextBatch()
  })
  expect(taken.attempt).toBe(2)
  await until(() => count("lost") === 1)
  expect(signals[0]!.reason).toMatchObject({ code: "stale_batch" })
  await taken.finish()
  expect(said()).toEqual([])
  await publish(events, 2)
  await until(() => said().length === 1)
  expect(said()).toEqual(["done 2"])
})
