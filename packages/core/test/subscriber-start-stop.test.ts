import { getEventListeners } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { AbortedError, createClient, PoolTooSmallError, StreamNotFoundError, SubscriptionExpiredError, SubscriptionNotFoundError, WorkerStoppedError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { createGate } from "./helpers/gate.ts"
import { openPool } from "./helpers/harness.ts"
import { subscriberHarness } from "./helpers/subscriber-harness.ts"
import { until } from "./helpers/until.ts"

const { client, pool, url, stream, publish, watch } = await subscriberHarness()

test("start says what is not there, and may be called again when it is", async () => {
  const events = await stream()
  expect(await errorOf(client.subscriber("none", "s", () => {}).start())).toBeInstanceOf(StreamNotFoundError)
  const late = client.subscriber(events.name, "late", () => {}, { maintenance: false, pollInterval: "20ms" })
  expect(await errorOf(late.start())).toBeInstanceOf(SubscriptionNotFoundError)
  expect(await errorOf(late.drain())).toBeInstanceOf(SubscriptionNotFoundError)
  expect(await errorOf(late.runFor("1s"))).toBeInstanceOf(SubscriptionNotFoundError)
  await client.admin.createSubscription(events.name, "late")
  await publish(events, 1)
  let done = 0
  late.on("done", () => done++)
  await late.start()
  await until(() => done === 1)
  await late.stop()
  await pool.query("update sluice.subscription set expired_at = now() where name = 'late'")
  expect(await errorOf(client.subscriber(events.name, "late", () => {}).start())).toBeInstanceOf(SubscriptionExpiredError)
})

test("start refuses a pool that its members could use up, names both numbers and what helps; one for one will do", async () => {
  const events = await stream()
  await publish(events, 1)
  for (const [max, members, fits] of [[1, 1, true], [1, 2, false], [2, 1, true], [2, 2, false], [4, 3, true], [4, 4, false]] as const) {
    const own = openPool(url, max)
    const subscriber = createClient(pgDriver(own), { listen: false }).subscriber(events.name, "s", () => {}, { members, transactional: true, maintenance: false })
    if (fits) await subscriber.start()
    else {
      const error = await errorOf<PoolTooSmallError>(subscriber.start())
      expect(error).toBeInstanceOf(PoolTooSmallError)
      expect(error.message).toBe(`${members} transactional handler(s) at once hold ${members} connection(s), and the subscriber needs one more; the driver has ${max}. Give its pool ${members + 1} connections or more, or the subscriber ${Math.max(1, max - 1)} member(s).`)
    }
    await subscriber.stop()
    await own.end()
  }
  await watch(events, () => {}, { members: 9 }).subscriber.start() // not in transactions
})

test("stop without anything to do ends it; it is not started again, stopped twice is once, and never started is stopped", async () => {
  const events = await stream()
  const { subscriber, count } = watch(events, () => {})
  await subscriber.start()
  await subscriber.start()
  await Promise.all([subscriber.stop(), subscriber.stop({ timeout: "1s" })])
  await subscriber.stop()
  expect(count("stopped")).toBe(1)
  expect((await errorOf(subscriber.start())).message).toContain("comes after stop")
  const other = watch(events, () => {})
  await other.subscriber.stop()
  expect(other.count("stopped")).toBe(0)
})

test("stop while it starts", async () => {
  const events = await stream()
  const { subscriber, count } = watch(events, () => {})
  const started = subscriber.start()
  await subscriber.stop()
  await started
  expect(count("stopped")).toBe(1)
})

test("stop waits for the handlers of the batch, reads no more, and finishes it", async () => {
  const events = await stream()
  await publish(events, 1, 2)
  const [began, gate] = [createGate(), createGate()]
  const { subscriber, said, count } = watch(events, async () => {
    began.open()
    await gate.opened
  })
  await subscriber.start()
  await began.opened
  await publish(events, 3)
  const stopped = subscriber.stop()
  gate.open()
  await stopped
  expect(said()).toEqual(["done 1", "done 2"])
  expect(count("finished")).toBe(1)
  const next = watch(events, () => {})
  await next.subscriber.drain()
  expect(next.said()).toEqual(["done 3"])
})

test("what takes longer than the timeout has its signal fired, and the batch is given back, uncharged, at once", async () => {
  const events = await stream({ lease: "1h" })
  await publish(events, 1, 2)
  const reasons: unknown[] = []
  const began = createGate()
  const { subscriber, said, errors } = watch(events, ({ data }, { signal }) => {
    if (data === 1) return undefined
    signal.addEventListener("abort", () => reasons.push(signal.reason))
    began.open()
    return new Promise(() => {})
  })
  await subscriber.start()
  await began.opened
  await Promise.all([subscriber.stop({ timeout: "1h" }), subscriber.stop({ timeout: "10ms" })]) // the shorter holds
  expect(reasons).toMatchObject([expect.any(WorkerStoppedError)])
  expect([said(), errors()]).toEqual([[], []])
  const next = watch(events, () => {})
  await next.subscriber.drain()
  expect(next.said()).toEqual(["done 1", "done 2"])
  expect(next.told[0]!.event).toMatchObject({ attempt: 1, count: 2 })
})

test("a handler that ends well when it is told to hurry is done, and so is its batch where it was the last", async () => {
  const events = await stream({ lease: "1h" })
  await publish(events, 1)
  const began = createGate()
  const { subscriber, said } = watch(events, (_, { signal }) => new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve())
    began.open()
  }))
  await subscriber.start()
  await began.opened
  await subscriber.stop({ timeout: 0 })
  const next = watch(events, () => {})
  await next.subscriber.drain()
  expect([said(), next.said()]).toEqual([["done 1"], []])
})

test("drain ends when there is nothing to read, with members that were at different work, and without a subscription to read", async () => {
  const events = await stream()
  await events.publishBatch(Array.from({ length: 50 }, (_, data) => ({ type: "n", data })))
  const { subscriber, said } = watch(events, ({ data }) => sleep(data === 7 ? 100 : 0), { members: 3, maxEvents: 5, pollInterval: "1h" })
  await subscriber.drain()
  expect(said().toSorted()).toEqual(Array.from({ length: 50 }, (_, n) => `done ${n}`).toSorted())
  const other = watch(events, async () => client.admin.dropSubscription(events.name, "s"), { pollInterval: "1h" })
  await publish(events, 1)
  await other.subscriber.drain()
  expect(other.errors().join()).toContain("has no subscription")
})

test("drain is over when it is stopped meanwhile", async () => {
  const events = await stream()
  await publish(events, 1)
  const began = createGate()
  const { subscriber } = watch(events, () => {
    began.open()
    return new Promise(() => {})
  })
  const drained = subscriber.drain()
  await began.opened
  await subscriber.stop({ timeout: 0 })
  await drained
})

test("runFor reads for so long, and a stop ends it earlier", async () => {
  const events = await stream()
  await publish(events, 1)
  const short = watch(events, () => {})
  await short.subscriber.runFor("100ms")
  expect(short.said()).toEqual(["done 1"])
  const { subscriber, count } = watch(events, () => {})
  const run = subscriber.runFor("1h")
  await subscriber.stop()
  await run
  expect(count("stopped")).toBe(1)
})

test("its signal stops it, before, while and after it starts; it keeps no listener there", async () => {
  const events = await stream()
  await publish(events, 1)
  expect(await errorOf(watch(events, () => {}, { signal: AbortSignal.abort("early") }).subscriber.start())).toBeInstanceOf(AbortedError)
  const [during, after, untouched] = [new AbortController(), new AbortController(), new AbortController()]
  const one = watch(events, () => {}, { signal: during.signal })
  const started = one.subscriber.drain()
  during.abort()
  await started
  await until(() => one.count("stopped") === 1)
  const two = watch(events, () => {}, { signal: after.signal })
  await two.subscriber.start()
  await until(() => two.said().length === 1)
  after.abort()
  await until(() => two.count("stopped") === 1)
  const three = watch(events, () => {}, { signal: untouched.signal })
  await three.subscriber.drain()
  for (const { signal } of [during, after, untouched]) expect(getEventListeners(signal, "abort")).toHaveLength(0)
})

test("a worker and a subscriber of one client end with it, and finish what they have", async () => {
  const events = await stream()
  const { name: queue } = await client.admin.createQueue("beside")
  const own = openPool(url, 4)
  const other = createClient(pgDriver(own), { listen: false })
  const [began, gate] = [createGate(), createGate()]
  const did: string[] = []
  const handle = async (what: string): Promise<void> => {
    did.push(`${what} began`)
    if (did.length === 2) began.open()
    await gate.opened
    did.push(`${what} ended`)
  }
  const subscriber = other.subscriber(events.name, "s", () => handle("event"))
  await subscriber.start()
  const worker = await other.queue(queue).work(() => handle("message"))
  const stopped: string[] = []
  subscriber.on("stopped", () => stopped.push("subscriber"))
  worker.on("stopped", () => stopped.push("worker"))
  await publish(events, 1)
  await client.queue(queue).send(1)
  await began.opened
  const closed = other.close()
  gate.open()
  await closed
  expect(did.slice(2).toSorted()).toEqual(["event ended", "message ended"])
  expect(stopped.toSorted()).toEqual(["subscriber", "worker"])
  expect((await client.admin.getSubscriptionInfo(events.name, "s")).batches).toEqual([])
  await own.end()
})
