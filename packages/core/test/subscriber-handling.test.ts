import { setTimeout as sleep } from "node:timers/promises"
import { HandlerTimeoutError, InvalidOptionError, outcome, type StandardSchema, type StreamEvent } from "@sluice/core"
import { expect, test } from "vitest"
import { createGate } from "./helpers/gate.ts"
import { subscriberHarness } from "./helpers/subscriber-harness.ts"
import { until } from "./helpers/until.ts"

const { client, pool, stream, publish, watch, dead } = await subscriberHarness()

const never = { backoff: { kind: "fixed", base: "1h", max: "1h" } } as const
const atOnce = { backoff: null } as const

/** What waits to be retried, of the newest subscription. */
const retries = async (): Promise<object[]> => (await pool.query("select attempt, errors from sluice.event_retry where subscription = (select max(id) from sluice.subscription) and due < 'infinity'")).rows

class Unreadable extends Error {
  override get message(): string {
    throw new Error("not even its message")
  }
}

const hostile = new Proxy({}, { get: () => { throw new Error("trap") }, has: () => { throw new Error("trap") }, getPrototypeOf: () => { throw new Error("trap") } })

test("handlers by type, * for the rest; events of a type that nobody wants are passed over", async () => {
  const events = await stream()
  await events.publishBatch([{ type: "a", data: 1 }, { type: "b", data: 2 }, { type: "toString", data: 3 }, { type: "a", data: 4 }])
  const calls: string[] = []
  const first = watch(events, { a: ({ data }) => calls.push(`a ${String(data)}`), "*": ({ type, data }) => calls.push(`* ${type} ${String(data)}`) })
  await first.subscriber.drain()
  expect(calls).toEqual(["a 1", "* b 2", "* toString 3", "a 4"])
  await events.publishBatch([{ type: "b", data: 5 }, { type: "__proto__", data: 6 }, { type: "toString", data: 7 }])
  const second = watch(events, { a: () => calls.push("never") })
  await second.subscriber.drain()
  expect(calls).toHaveLength(4)
  expect(second.said()).toEqual(["done 5", "done 6", "done 7"])
  expect((await client.admin.getSubscriptionInfo(events.name, "s")).pendingEvents).toBe(0)
})

test("one function for all gets them in order, with what it may want to know, and is told of in order", async () => {
  const events = await stream()
  await publish(events, 1, 2, 3)
  const seen: unknown[] = []
  const { subscriber, told } = watch(events, async ({ data, attempt, stream: name }, { subscription, batch, signal }) => {
    await sleep(3 - Number(data))
    seen.push([data, attempt, name, subscription, batch.attempt, signal.aborted])
  })
  await subscriber.drain()
  expect(seen).toEqual([1, 2, 3].map((n) => [n, 1, events.name, "s", 1, false]))
  expect(told.map(({ name }) => name)).toEqual(["batch", "done", "done", "done", "finished", "stopped"])
  expect(told[0]!.event).toMatchObject({ count: 3, attempt: 1 })
  expect(told[4]!.event).toMatchObject({ count: 3, ms: expect.any(Number) })
})

test("so many at once as concurrency says, and no more", async () => {
  const events = await stream()
  await publish(events, 1, 2, 3, 4, 5, 6, 7)
  let [running, most] = [0, 0]
  const gate = createGate()
  const { subscriber, said } = watch(events, async () => {
    most = Math.max(most, ++running)
    if (running === 3) gate.open()
    await gate.opened
    await sleep(2)
    running--
  }, { concurrency: 3 })
  await subscriber.drain()
  expect(most).toBe(3)
  expect(said()).toHaveLength(7)
})

test.each<[string, () => unknown, "done" | "retry" | "dead", string?]>([
  ["throws at once", () => { throw new Error("at once") }, "retry", "at once"],
  ["rejects later", async () => { await sleep(1); throw new Error("later") }, "retry", "later"],
  ["throws undefined", () => { throw undefined }, "retry", "undefined"],
  ["rejects with nothing", () => Promise.reject(), "retry", "undefined"],
  ["throws null", () => { throw null }, "retry", "null"],
  ["throws an error that cannot be read", () => { throw new Unreadable() }, "retry", "could not be read"],
  ["throws a proxy whose traps throw", () => { throw hostile }, "retry", "could not be read"],
  ["returns a proxy whose traps throw", () => hostile, "retry", "trap"],
  ["returns one that it wraps", () => [hostile], "done"],
  ["throws what Postgres cannot hold", () => { throw new Error("\0\uD800") }, "retry", ""],
  ["throws outcome.retry", () => { throw outcome.retry({ error: "again" }) }, "retry", "again"],
  ["returns outcome.retry", () => outcome.retry({ delay: "1h" }), "retry"],
  ["returns outcome.deadLetter", () => outcome.deadLetter("why"), "dead", "why"],
  ["throws outcome.done", () => { throw outcome.done() }, "done"],
  ["returns outcome.snooze", () => outcome.snooze("1h"), "retry", "done, retry and deadLetter"],
  ["throws outcome.cancel", () => { throw outcome.cancel() }, "retry", "done, retry and deadLetter"],
  ["returns what is no outcome", () => ({ to: "retry" }), "done"],
])("a handler that %s touches no other event, and ends no loop", async (_, act, verb, reason) => {
  const events = await stream({ ...never, maxAttempts: 2 })
  await publish(events, "good", "bad", "last")
  const { subscriber, said, told } = watch(events, ({ data }) => (data === "bad" ? act() : undefined))
  await subscriber.start()
  await until(() => said().length === 3)
  expect(said()).toEqual(["done good", `${verb} bad`, "done last"])
  await publish(events, "next")
  await until(() => said().includes("done next"))
  expect(told.filter(({ name }) => name === "error")).toEqual([])
  if (verb === "dead") expect(await dead(events)).toMatchObject([{ data: "bad", attempt: 1, reason: expect.stringContaining(reason ?? "") }])
  else expect(await dead(events)).toEqual([])
  if (verb === "retry" && reason !== undefined) expect(await retries()).toMatchObject([{ attempt: 1, errors: [{ attempt: 1, message: expect.stringContaining(reason), worker: "s" }] }])
})


test("the attempts of an event are counted over its deliveries; at the limit it is dead, and comes again when it is redriven", async () => {
  const events = await stream({ ...atOnce, maxAttempts: 3 })
  const [id] = await publish(events, 1)
  const attempts: number[] = []
  const { subscriber, said } = watch(events, (event) => {
    attempts.push(event.attempt)
    expect(event.id).toBe(id)
    if (attempts.length < 4) throw new Error(`failure ${attempts.length}`)
  })
  await subscriber.start()
  await until(() => said().includes("dead 1"))
  expect(said()).toEqual(["retry 1", "retry 1", "dead 1"])
  expect(await dead(events)).toEqual([{ data: 1, attempt: 3, reason: "failure 3" }])
  await client.admin.redriveEvents(events.name, "s")
  await until(() => said().length === 4)
  expect(attempts).toEqual([1, 2, 3, 1])
  expect(said().at(-1)).toBe("done 1")
})

const rejected = async (): Promise<never> => {
  throw new Error("unhandled?")
}

test("backoff says how long, onError what; what they throw, or a promise, is an error kept with the event", async () => {
  const events = await stream()
  await publish(events, "backoff", "onError", "dead", "fine", "rejects", "late")
  const asked: unknown[] = []
  const { subscriber, said } = watch(events, ({ data }) => { throw new Error(String(data)) }, {
    backoff: (attempt, error) => {
      asked.push([attempt, (error as Error).message])
      if ((error as Error).message === "backoff") throw new Error("bad backoff")
      return "2h"
    },
    onError: (error, { data }) => {
      if (data === "onError") throw new Error("bad onError")
      if (data === "dead") return outcome.deadLetter(error)
      if (data === "fine") return outcome.done()
      if (data === "rejects") return rejected() as never
      return undefined
    },
  })
  await subscriber.drain()
  expect(said()).toEqual(["retry backoff", "retry onError", "dead dead", "done fine", "retry rejects", "retry late"])
  expect(asked).toMatchObject([[1, "backoff"], [1, expect.stringContaining("bad onError")], [1, expect.stringContaining("must return an outcome")], [1, "late"]])
  const rows = await pool.query("select data::text as data, due - died_at as dead, extract(epoch from due - clock_timestamp()) > 3600 as late from sluice.event_retry where subscription = (select max(id) from sluice.subscription) and due < 'infinity' order by event")
  expect(rows.rows.map(({ data, late }) => [data, late])).toEqual([['"backoff"', false], ['"onError"', true], ['"rejects"', true], ['"late"', true]])
})

test("a handler that takes too long is retried with that error; in its own way of ending, too; and who ignores it keeps nobody", async () => {
  const events = await stream({ ...never })
  await publish(events, "hangs", "throws", "returns", "quick")
  const reasons: unknown[] = []
  const { subscriber, said, told } = watch(events, ({ data }, { signal }) => new Promise((resolve, reject) => {
    if (data === "quick") return resolve(1)
    signal.addEventListener("abort", () => {
      reasons.push(signal.reason)
      if (data === "throws") reject(new Error("my own"))
      if (data === "returns") resolve(1)
    })
  }), { timeout: "30ms" })
  await subscriber.drain()
  expect(said()).toEqual(["retry hangs", "retry throws", "retry returns", "done quick"])
  expect(reasons).toHaveLength(3)
  for (const { event } of told.filter(({ name }) => name === "retry")) expect(event).toMatchObject({ error: expect.any(HandlerTimeoutError) })
})

test("a handler that rejects after its time is over neither ends the process nor decides anything", async () => {
  const events = await stream({ ...atOnce, maxAttempts: 2 })
  await publish(events, 1)
  let rejected = 0
  const { subscriber, said } = watch(events, async () => {
    await sleep(80)
    rejected++
    throw new Error("too late")
  }, { timeout: "20ms" })
  await subscriber.start()
  await until(() => rejected === 2)
  expect(said()).toEqual(["retry 1", "dead 1"])
})

const Amount: StandardSchema<{ cents: number }, number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => (typeof (value as { cents?: unknown } | null)?.cents === "number" ? { value: (value as { cents: number }).cents } : { issues: [{ message: "no cents", path: ["cents"] }] }),
  },
}

test.each(["deadLetter", "raise"] as const)("an event that the schema refuses never reaches its handler; onInvalid: %s", async (onInvalid) => {
  const { name } = await stream({ ...never })
  await client.stream(name).publishBatch([{ type: "paid", data: { cents: 5 } }, { type: "paid", data: { euros: 5 } }, { type: "other", data: { euros: 6 } }])
  const typed = client.stream(name, { events: { paid: Amount } })
  const seen: unknown[] = []
  const subscriber = client.subscriber(typed, "s", (event) => seen.push(event.data), { maintenance: false, onInvalid })
  const told: unknown[] = []
  const keep = ({ event, error }: { event: StreamEvent; error: unknown }): void => void told.push([event.data, (error as Error).message])
  subscriber.on("dead", keep)
  subscriber.on("retry", keep)
  await subscriber.drain()
  expect(seen).toEqual([5, { euros: 6 }])
  expect(told).toEqual([[{ euros: 5 }, expect.stringContaining("no cents")]])
  expect((await dead({ name })).map(({ data }) => data)).toEqual(onInvalid === "raise" ? [] : [{ euros: 5 }])
  expect(await retries()).toHaveLength(onInvalid === "raise" ? 1 : 0)
})

test.each<[string, unknown]>([["nothing", {}], ["a text", "fn"], ["an array", [() => {}]], ["what is no function", { a: 1 }], ["null", null]])("%s as handlers is refused", async (_, handlers) => {
  expect(() => client.subscriber("x", "s", handlers as never)).toThrow(InvalidOptionError)
})

test.each<[string, object]>([
  ["members", { members: 0 }], ["concurrency", { concurrency: 0 }], ["concurrency", { transactional: true, concurrency: 2 }], ["timeout", { timeout: 5 }], ["timeout", { timeout: 0 }],
  ["pollInterval", { pollInterval: "1ms" }], ["onInvalid", { onInvalid: "drop" }], ["maxEvents", { maxEvents: 0 }], ["signal", { signal: {} }], ["transactional", { transactional: "yes" }],
  ["backoff", { backoff: "1s" }], ["lease", { lease: 0 }], ["batch", { batch: 3 }],
])("a wrong option %s is refused at once", (field, options) => {
  expect(() => client.subscriber("x", "s", () => {}, options as never)).toThrow(field)
})
