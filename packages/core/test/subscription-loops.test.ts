import { getEventListeners } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { type Batch, createClient, InvalidOptionError, StaleBatchError, type StreamEvent, SubscriptionNotFoundError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterAll, expect, test, vi } from "vitest"
import { countingDriver } from "./helpers/counting-driver.ts"
import { errorOf } from "./helpers/error-of.ts"
import { openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { subscriberHarness } from "./helpers/subscriber-harness.ts"
import { until } from "./helpers/until.ts"

const { client, pool, url, stream, publish } = await subscriberHarness()

/** A client of its own, as another process would have it. */
function another(options: { listen: boolean; notify: boolean }) {
  const own = openPool(url, 3)
  const { driver, counts } = countingDriver(pgDriver(own))
  const other = createClient(driver, options)
  afterAll(async () => {
    await other.close()
    await own.end()
  })
  return { other, counts, looks: () => counts.get("next_batch") ?? 0 }
}

const dataOf = async (batch: Batch | null | undefined): Promise<unknown[]> => (await batch!.list()).map(({ data }) => data)

test("batch after batch, each finished when the loop goes on; the signal ends it between two", async () => {
  const events = await stream()
  await publish(events, 1, 2, 3)
  const stop = new AbortController()
  const seen: unknown[] = []
  for await (const batch of events.subscription("s").batches({ maxEvents: 2, signal: stop.signal })) {
    seen.push(await dataOf(batch))
    if (seen.length === 2) stop.abort()
  }
  expect(seen).toEqual([[1, 2], [3]])
  const info = await client.admin.getSubscriptionInfo(events.name, "s")
  expect([info.batches, info.pendingEvents]).toEqual([[], 0])
  expect(getEventListeners(stop.signal, "abort")).toHaveLength(0)
})

test.each(["break", "throw"])("%s leaves the batch open: the same owner has it again at once, another does not", async (how) => {
  const events = await stream()
  await publish(events, 1)
  const mine = events.subscription("s", { owner: "me" })
  let id: string | undefined
  const loop = async (): Promise<void> => {
    for await (const batch of mine.batches()) {
      id = batch.id
      if (how === "throw") throw new Error("thrown")
      break
    }
  }
  if (how === "throw") expect((await errorOf(loop())).message).toBe("thrown")
  else await loop()
  expect(await events.subscription("s", { owner: "you" }).nextBatch()).toBeNull()
  expect(await mine.nextBatch()).toMatchObject({ id, attempt: 1 })
})

test("a batch that the body has finished or given back is not finished again", async () => {
  const events = await stream()
  await publish(events, 1, 2)
  const attempts: [unknown[], number][] = []
  for await (const batch of events.subscription("s").batches({ maxEvents: 1 })) {
    attempts.push([await dataOf(batch), batch.attempt])
    if (attempts.length === 1) await batch.release()
    if (attempts.length === 2) await batch.finish()
    if (attempts.length === 3) break
  }
  expect(attempts).toEqual([[[1], 1], [[1], 1], [[2], 1]])
})

test("what waits is found at a later look where there is no LISTEN, and ends at once by the signal", async () => {
  const events = await stream()
  const { other, looks } = another({ listen: false, notify: false })
  const stop = new AbortController()
  const batches = other.stream(events.name).subscription("s").batches({ signal: stop.signal })
  const first = batches.next()
  await until(() => looks() > 5)
  await publish(events, 1)
  expect(await dataOf((await first).value as Batch)).toEqual([1])
  const last = batches.next()
  stop.abort()
  expect(await last).toEqual({ done: true, value: undefined })
  expect(getEventListeners(stop.signal, "abort")).toHaveLength(0)
})

test("woken by LISTEN, and within the process, by publish, client.transaction, client.wake, before a look would find it", async () => {
  const events = await stream()
  const { other: elsewhere } = another({ listen: false, notify: true })
  const { other, looks } = another({ listen: true, notify: false })
  const batches = other.stream(events.name).subscription("s").batches()
  const ways: ((n: number) => Promise<unknown>)[] = [
    (n) => elsewhere.stream(events.name).publish("n", n),
    (n) => elsewhere.transaction((tx) => elsewhere.stream(events.name).publish("n", n, { tx })),
    (n) => other.stream(events.name).publish("n", n),
    (n) => other.stream(events.name).publishBatch([{ type: "n", data: n }]),
    (n) => other.transaction((tx) => other.stream(events.name).publish("n", n, { tx })),
    async (n) => {
      await publish(events, n)
      await other.wake(events.name)
    },
  ]
  // The longest pause between two looks lasts an hour here: nothing is found but by a wake.
  const { setTimeout: real } = globalThis
  const slowed = vi.spyOn(globalThis, "setTimeout").mockImplementation(((work: () => void, ms?: number) => real(work, ms === 1000 ? 3_600_000 : ms)) as never)
  try {
    for (const [n, way] of ways.entries()) {
      const before = slowed.mock.calls.length
      const next = batches.next()
      await until(() => slowed.mock.calls.slice(before).some(([, ms]) => ms === 1000))
      await way(n)
      expect(await dataOf((await next).value as Batch)).toEqual([n])
    }
    expect(looks()).toBeLessThan(120)
  } finally {
    slowed.mockRestore()
  }
  await batches.return!()
})

test("a body longer than the lease keeps it, and one whose lease is lost hears of it", async () => {
  const events = await stream({ lease: "600ms" })
  await publish(events, 1)
  const you = events.subscription("s", { owner: "you" })
  const signals: AbortSignal[] = []
  const loop = async (): Promise<void> => {
    for await (const batch of events.subscription("s", { owner: "me" }).batches()) {
      signals.push(batch.signal)
      await until(async () => (await pool.query("select from sluice.batch_lease where batch = $1 and until > $2::timestamptz + interval '600 ms'", [batch.id, batch.openedAt])).rowCount === 1)
      await moveClock(pool, "0")
      await until(async () => (await pool.query("select clock_timestamp() > $1::timestamptz + interval '900 ms' as over", [batch.openedAt])).rows[0].over)
      expect(await you.nextBatch()).toBeNull()
      expect(batch.signal.aborted).toBe(false)
      await moveClock(pool, "1 hour")
      expect(await you.nextBatch()).toMatchObject({ attempt: 2 })
      await until(() => batch.signal.aborted)
    }
  }
  const error = await errorOf<StaleBatchError>(loop())
  expect(error).toBeInstanceOf(StaleBatchError)
  expect(signals[0]!.reason).toBeInstanceOf(StaleBatchError)
})

test("a lease longer than a timer can be is no busy loop", async () => {
  const events = await stream()
  await publish(events, 1)
  const { other, counts } = another({ listen: false, notify: false })
  for await (const batch of other.stream(events.name).subscription("s").batches({ lease: "200d" })) {
    await sleep(60)
    expect(counts.get("renew_batch")).toBeUndefined()
    await batch.finish()
    break
  }
})

test("events one by one; a batch is finished after its last one, and breaking off leaves it open for the same owner", async () => {
  const events = await stream()
  await events.publishBatch([1, 2, 3].map((data) => ({ type: "n", data })))
  const mine = events.subscription("s", { owner: "me" })
  const read = async (count: number): Promise<unknown[]> => {
    const seen: unknown[] = []
    for await (const { data } of mine.events({ maxEvents: 2, chunk: 1 })) {
      seen.push(data)
      if (seen.length === count) break
    }
    return seen
  }
  expect(await read(1)).toEqual([1])
  expect(await read(2)).toEqual([1, 2]) // 2 was the last of its batch, and nobody asked for another
  expect(await read(3)).toEqual([1, 2, 3])
  expect((await client.admin.getSubscriptionInfo(events.name, "s")).batches).toMatchObject([{ owner: "me", events: 1 }])
})

test("the signal ends events after the one that is at work; after the last of a batch, that is finished", async () => {
  const events = await stream()
  await events.publishBatch([1, 2, 3].map((data) => ({ type: "n", data })))
  const mine = events.subscription("s", { owner: "me" })
  const upTo = async (last: number): Promise<unknown[]> => {
    const stop = new AbortController()
    const seen: unknown[] = []
    for await (const { data } of mine.events({ signal: stop.signal })) {
      seen.push(data)
      if (data === last) stop.abort()
    }
    return seen
  }
  expect(await upTo(2)).toEqual([1, 2])
  expect((await client.admin.getSubscriptionInfo(events.name, "s")).batches).toHaveLength(1)
  expect(await upTo(3)).toEqual([1, 2, 3])
  expect((await client.admin.getSubscriptionInfo(events.name, "s")).batches).toHaveLength(0)
})

test("events of a batch whose lease is lost end with its error", async () => {
  const events = await stream({ lease: "300ms" })
  await publish(events, 1, 2)
  const seen: StreamEvent[] = []
  const loop = async (): Promise<void> => {
    for await (const event of events.subscription("s", { owner: "me" }).events()) {
      seen.push(event)
      await moveClock(pool, "1 hour")
      await events.subscription("s", { owner: "you" }).nextBatch()
      await until(async () => (await pool.query("select clock_timestamp() > $1::timestamptz + interval '1 s' as over", [event.publishedAt])).rows[0].over)
    }
  }
  expect(await errorOf(loop())).toBeInstanceOf(StaleBatchError)
  expect(seen).toHaveLength(1)
})

test("what is wrong comes from the first step, with nothing left behind", async () => {
  const events = await stream()
  const none = events.subscription("none")
  expect(await errorOf(none.batches().next())).toBeInstanceOf(SubscriptionNotFoundError)
  expect(await errorOf(none.events().next())).toBeInstanceOf(SubscriptionNotFoundError)
  expect(await errorOf(none.batches({ maxEvents: 0 }).next())).toBeInstanceOf(InvalidOptionError)
  expect(await errorOf(none.batches({ singal: 1 } as never).next())).toBeInstanceOf(InvalidOptionError)
})
