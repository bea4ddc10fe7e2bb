import { createClient, type Driver } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import type { PoolClient } from "pg"
import { afterEach, expect, test, vi } from "vitest"
import { subscriberHarness, watchSubscriber } from "./helpers/subscriber-harness.ts"
import { until } from "./helpers/until.ts"

const { pool, client, stream, publish, watch } = await subscriberHarness()

afterEach(() => vi.restoreAllMocks())

/** Listeners of "abort" that were added from here on, and are still there, on signals that have not fired. */
function listeners(): () => number {
  const counts = new Map<AbortSignal, number>()
  const { addEventListener, removeEventListener } = AbortSignal.prototype
  const known = new WeakMap<AbortSignal, Set<unknown>>()
  vi.spyOn(AbortSignal.prototype, "addEventListener").mockImplementation(function (this: AbortSignal, ...args: never[]) {
    const set = known.get(this) ?? new Set()
    known.set(this, set.add(args[1]))
    counts.set(this, set.size)
    return (addEventListener as (...all: never[]) => void).apply(this, args)
  } as never)
  vi.spyOn(AbortSignal.prototype, "removeEventListener").mockImplementation(function (this: AbortSignal, ...args: never[]) {
    const set = known.get(this)
    set?.delete(args[1])
    if (set !== undefined) counts.set(this, set.size)
    return (removeEventListener as (...all: never[]) => void).apply(this, args)
  } as never)
  return () => [...counts].filter(([signal]) => !signal.aborted).reduce((sum, [, count]) => sum + count, 0)
}

test.each([false, true])("signals keep no listeners, and no composites of theirs are made (transactional: %s)", async (transactional) => {
  const events = await stream({ backoff: null, maxAttempts: 2 })
  await events.publishBatch(Array.from({ length: 60 }, (_, data) => ({ type: "n", data })))
  const any = vi.spyOn(AbortSignal, "any")
  const left = listeners()
  const stop = new AbortController()
  const handle = ({ data }: { data: unknown }): void => {
    if (Number(data) % 7 === 0) throw new Error("now and then")
  }
  const options = { maintenance: false, maxEvents: 7, timeout: "1h", signal: stop.signal, pollInterval: "5ms" } as const
  const { subscriber, said } = watchSubscriber(transactional ? client.subscriber(events, "s", handle, { ...options, transactional }) : client.subscriber(events, "s", handle, { ...options, concurrency: 3, members: 2 }))
  await subscriber.drain()
  expect(said().filter((one) => !one.startsWith("retry"))).toHaveLength(60)
  expect(left()).toBe(0)
  expect(any).not.toHaveBeenCalled()
})

/** A client whose transactions can be kept from opening. */
function fragile() {
  const inner: Driver<PoolClient> = pgDriver(pool)
  const state = { refuse: true, refused: 0, looks: 0 }
  const own = createClient<PoolClient>({
    ...inner,
    query: (text, values, options) => {
      if (options?.name === "sluice_next_batch") state.looks++
      return inner.query(text, values, options)
    },
    transaction: async (work) => {
      if (!state.refuse) return inner.transaction(work)
      state.refused++
      throw new Error("no transaction today")
    },
  }, { listen: false, notify: false })
  return { own, state }
}

test("a transaction that cannot be opened is tried again after a pause that grows, no handler called, nobody charged", async () => {
  const { own, state } = fragile()
  const events = await stream({ maxAttempts: 1, backoff: null })
  await publish(events, 1)
  const attempts: number[] = []
  const { subscriber, said, errors } = watchSubscriber(own.subscriber(events.name, "s", ({ attempt }) => attempts.push(attempt), { transactional: true, maintenance: false, pollInterval: "5ms" }))
  await subscriber.start()
  const at = performance.now()
  await until(() => state.refused === 2)
  // The first pause is a second: a hot loop would have made hundreds of them.
  expect(performance.now() - at).toBeGreaterThan(900)
  expect([state.looks, said(), attempts]).toEqual([2, [], []])
  expect(errors()).toHaveLength(2)
  state.refuse = false
  await until(() => said().length === 1)
  expect([said(), attempts]).toEqual([["done 1"], [1]])
  await subscriber.stop()
})

test("stop ends that pause, and the batch is given back", async () => {
  const { own, state } = fragile()
  const events = await stream({ lease: "1h" })
  await publish(events, 1)
  const { subscriber } = watchSubscriber(own.subscriber(events.name, "s", () => {}, { transactional: true, maintenance: false }))
  await subscriber.start()
  await until(() => state.refused === 1)
  await subscriber.stop()
  const next = watch(events, () => {})
  await next.subscriber.drain()
  expect(next.said()).toEqual(["done 1"])
})
