import { type EventTransactionContext, type HandlerOutcome, outcome, type StreamEvent } from "@sluice/core"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, describe, expect, test } from "vitest"
import { driverNames } from "./helpers/drivers.ts"
import { createEffectTable, effectsOf, openEffects, reasonsOf } from "./helpers/effects.ts"
import { createGate } from "./helpers/gate.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { subscriberHarness, watchSubscriber } from "./helpers/subscriber-harness.ts"
import { until } from "./helpers/until.ts"

const { client: other, pool, url, stream, dead } = await subscriberHarness()
await createEffectTable(pool)
await pool.query("create table parent (id int primary key); create table child (id int references parent deferrable initially deferred)")

type Handle = (event: StreamEvent, context: EventTransactionContext<unknown>) => unknown

describe.each(driverNames)("a transactional subscriber over %s", (driver) => {
  const { client, effect, driver: raw, end } = openEffects(driver, url, 4)
  afterAll(end)

  const leave = (event: StreamEvent, tx: unknown): Promise<void> => effect({ queue: event.stream, payload: event.data }, tx)

  async function fresh(options: object = {}, ...data: readonly unknown[]) {
    const events = await stream({ backoff: null, maxAttempts: 3, ...options })
    await other.stream(events.name).publishBatch((data.length > 0 ? data : [1]).map((one) => ({ type: "n", data: one })))
    return { events, kept: (): Promise<number[]> => effectsOf(pool, events.name) }
  }

  function watch(events: { name: string }, handle: Handle, options: object = {}) {
    return watchSubscriber(client.subscriber(events.name, "s", handle, { maintenance: false, transactional: true, pollInterval: "20ms", ...options }))
  }

  test("commits what the handlers of a batch did with it, all at once", async () => {
    const { events, kept } = await fresh({}, 1, 2, 3)
    const { subscriber, said, told } = watch(events, async (event, { tx }) => {
      await leave(event, tx)
      expect(await kept()).toEqual([]) // not before the commit
    })
    await subscriber.drain()
    expect(said()).toEqual(["done 1", "done 2", "done 3"])
    expect(told.filter(({ name }) => name === "finished")).toHaveLength(1)
    expect(await kept()).toEqual([1, 2, 3])
    const { rows } = await pool.query("select count(distinct xact)::int4 as n from effect where queue = $1", [events.name])
    expect(rows).toEqual([{ n: 1 }])
  })

  const outcomes: [name: string, make: () => HandlerOutcome, told: string, dead: number, kept?: boolean][] = [
    ["done", () => outcome.done(), "done", 0],
    ["retry", () => outcome.retry({ delay: "1h" }), "retry", 0],
    ["deadLetter", () => outcome.deadLetter("why"), "dead", 1],
    ["snooze", () => outcome.snooze("1h"), "retry", 0, false], // no outcome of an event
  ]

  test.each(outcomes)("outcome.%s, returned, keeps the effects; thrown, undoes those of its event alone", async (_name, make, verb, deadCount, keeps = true) => {
    const { events, kept } = await fresh({ backoff: { kind: "fixed", base: "1h", max: "1h" } }, 1, 2, 3, 4)
    const { subscriber, said, errors } = watch(events, async (event, { tx }) => {
      await leave(event, tx)
      if (event.data === 2) return make()
      if (event.data === 3) throw make()
      return undefined
    })
    await subscriber.drain()
    expect(said()).toEqual(["done 1", `${verb} 2`, `${verb} 3`, "done 4"])
    expect(await kept()).toEqual(keeps ? [1, 2, 4] : [1, 4])
    expect(await dead(events)).toHaveLength(deadCount * 2)
    expect(errors()).toEqual([])
  })

  test("a failing handler, a failing statement, one that it swallowed: undone for that event alone, and charged to it", async () => {
    const { events, kept } = await fresh({}, 1, 2, 3, 4, 5)
    const reasons: string[] = []
    const { subscriber, said, told, errors } = watch(events, async (event, { tx }) => {
      await leave(event, tx)
      if (event.attempt > 1) return
      if (event.data === 2) throw new Error("mine")
      if (event.data === 3) await raw.within(tx).query("select 1 / 0")
      if (event.data === 4) await raw.within(tx).query("select 1 / 0").catch(() => {})
    })
    subscriber.on("retry", ({ error }) => reasons.push(reasonsOf(error)))
    await subscriber.drain()
    expect(said()).toEqual(["done 1", "retry 2", "retry 3", "retry 4", "done 5", "done 2", "done 3", "done 4"])
    expect(reasons).toEqual([expect.stringContaining("mine"), expect.stringContaining("division by zero"), expect.stringMatching(/division by zero|the handler went on/)])
    expect(await kept()).toEqual([1, 2, 3, 4, 5])
    expect(errors()).toEqual([])
    expect(told.filter(({ name }) => name === "batch")).toHaveLength(2)
  })

  test("a commit that fails: the events are set apart, each has a transaction of its own, and only the culprit dies", async () => {
    const { events, kept } = await fresh({}, 1, 2, 3, 4)
    const sizes: number[] = []
    const { subscriber, said, errors, told } = watch(events, async (event, { tx }) => {
      await leave(event, tx)
      if (event.data === 3) await raw.within(tx).query("insert into child values (404)")
    })
    subscriber.on("batch", ({ count }) => sizes.push(count))
    await subscriber.drain()
    expect(said().slice(0, 4)).toEqual(["retry 1", "retry 2", "retry 3", "retry 4"])
    expect(said().slice(4).toSorted()).toEqual(["dead 3", "done 1", "done 2", "done 4", "retry 3"])
    expect(sizes).toEqual([4, 1, 1, 1, 1, 1])
    expect(await kept()).toEqual([1, 2, 4])
    expect(await dead(events)).toMatchObject([{ data: 3, attempt: 3, reason: expect.stringMatching(/foreign key|Failed query/) }])
    expect(errors()).toHaveLength(3)
    expect(reasonsOf((told.find(({ name }) => name === "dead")!.event as { error: unknown }).error)).toContain("foreign key")
  })

  test("onError decides of the one whose commit failed, once it is alone", async () => {
    const { events, kept } = await fresh({ maxAttempts: null }, 1, 2)
    const asked: unknown[] = []
    const { subscriber, said } = watch(events, async (event, { tx }) => {
      await leave(event, tx)
      if (event.data === 1) await raw.within(tx).query("insert into child values (404)")
    }, { onError: (error: unknown, event: StreamEvent) => (asked.push(event.data), outcome.deadLetter(error)) })
    await subscriber.drain()
    expect(said()).toEqual(["retry 1", "retry 2", "dead 1", "done 2"])
    expect(asked).toEqual([1])
    expect(await kept()).toEqual([2])
  })

  test("a handler longer than the lease keeps its batch, though it is never renewed", async () => {
    const { events, kept } = await fresh({ lease: "1h" })
    const [began, gate] = [createGate(), createGate()]
    const { subscriber, said } = watch(events, async (event, { tx }) => {
      await leave(event, tx)
      began.open()
      await gate.opened
    })
    await subscriber.start()
    await began.opened
    await moveClock(pool, "2 hours")
    expect(await other.stream(events.name).subscription("s").nextBatch()).toBeNull()
    gate.open()
    await until(() => said().length === 1)
    await subscriber.stop()
    expect([said(), await kept()]).toEqual([["done 1"], [1]])
    expect(await other.stream(events.name).subscription("s").nextBatch()).toBeNull()
  })

  test("does not end the transaction of a handler that ignores its timeout; when it returns, its event is undone and retried", async () => {
    const { events, kept } = await fresh({}, 1, 2)
    let late = 0
    const { subscriber, said } = watch(events, async (event, { tx, signal }) => {
      if (event.data === 2 || event.attempt === 2) return leave(event, tx)
      await new Promise((resolve) => signal.addEventListener("abort", resolve))
      await sleep(30)
      await leave(event, tx) // it is still his
      late++
    }, { timeout: "50ms" })
    await subscriber.drain()
    expect(said()).toEqual(["retry 1", "done 2", "done 1"])
    expect([late, await kept()]).toEqual([1, [1, 2]])
  })

  test("stop does not wait for a handler that never ends; what it did in the end is kept with its batch", async () => {
    const { events, kept } = await fresh({ lease: "300ms" })
    const [began, gate] = [createGate(), createGate()]
    const { subscriber, said } = watch(events, async (event, { tx }) => {
      await leave(event, tx)
      began.open()
      await gate.opened
    })
    await subscriber.start()
    await began.opened
    await subscriber.stop({ timeout: "10ms" })
    expect([said(), await kept()]).toEqual([[], []])
    gate.open()
    await until(() => said().length === 1)
    expect([said(), await kept()]).toEqual([["done 1"], [1]])
  })

  test("stop after some of the events: all of the batch is undone and given back, uncharged", async () => {
    const { events, kept } = await fresh({ lease: "1h" }, 1, 2, 3)
    const began = createGate()
    const { subscriber, said } = watch(events, async (event, { tx, signal }) => {
      await leave(event, tx)
      if (event.data !== 2) return
      began.open()
      await new Promise((resolve) => signal.addEventListener("abort", resolve))
    })
    await subscriber.start()
    await began.opened
    await subscriber.stop({ timeout: "10ms" })
    expect([said(), await kept()]).toEqual([[], []])
    expect(await other.stream(events.name).subscription("s").nextBatch()).toMatchObject({ count: 3, attempt: 1 })
  })
})
