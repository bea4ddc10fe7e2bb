import { StaleBatchError } from "@sluice/core"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { eventOf, numbersOf, openTransaction, publish, range, streamHarness, take, takeAll, type TestSubscription } from "./helpers/streams.ts"

const { client, pool, freshStream, subscribe } = await streamHarness()
const { admin } = client
beforeEach(() => moveClock(pool, "0"))

/** The next batch finished with these to be retried now. */
async function retry(sub: TestSubscription, ...numbers: number[]): Promise<readonly string[]> {
  const batch = (await sub.nextBatch())!
  for (const n of numbers) batch.retry(await eventOf(batch, n), { delay: 0 })
  return (await batch.finish()).dead
}

describe("retry", () => {
  test("brings the event again with its id and time, to this subscription alone, once per finish (pgq_core: event_retry 1, then 0)", async () => {
    const stream = await freshStream()
    const [sub, other] = [await subscribe(stream), await subscribe(stream, "other")]
    await publish(stream, [1, 2, 3])
    const batch = (await sub.nextBatch())!
    const [, second] = await batch.list()
    batch.retry(second!, { delay: 0 })
    batch.retry(second!, { delay: 0 })
    expect(await batch.finish()).toEqual({ dead: [] })
    const again = (await sub.nextBatch())!
    expect(again).toMatchObject({ count: 1, retried: true, attempt: 1 })
    expect(await again.list()).toEqual([{ ...second, attempt: 2 }])
    await again.finish()
    expect(await takeAll(sub)).toEqual([])
    expect(await takeAll(other)).toEqual([[1, 2, 3]])
  })

  test("of a retried event counts on, and other events get through meanwhile", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await publish(stream, [1])
    for (const attempt of range(1, 5)) {
      const batch = (await sub.nextBatch())!
      const [event] = await batch.list()
      expect(event).toMatchObject({ data: 1, attempt })
      batch.retry(event!, { delay: "10s" })
      await batch.finish()
      await publish(stream, [attempt + 1])
      expect(await takeAll(sub)).toEqual([[attempt + 1]])
      await moveClock(pool, `${attempt * 10} seconds`)
    }
  })

  test("waits for its delay, else for the subscription's backoff", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream, "sub", { backoff: { kind: "exponential", base: "10s", jitter: 0 } })
    await publish(stream, [1, 2])
    const first = (await sub.nextBatch())!
    first.retry(await eventOf(first, 1), { delay: "1h" })
    first.retry(await eventOf(first, 2))
    await first.finish()
    await moveClock(pool, "9 seconds")
    expect(await sub.nextBatch()).toBeNull()
    await moveClock(pool, "11 seconds")
    const second = (await sub.nextBatch())!
    expect(await numbersOf(second)).toEqual([2])
    second.retry(await eventOf(second, 2))
    await second.finish()
    await moveClock(pool, "30 seconds")
    expect(await sub.nextBatch()).toBeNull()
    await moveClock(pool, "32 seconds")
    expect(await takeAll(sub)).toEqual([[2]])
    await moveClock(pool, "61 minutes")
    expect(await takeAll(sub)).toEqual([[1]])
  })

  test("taken back with done, or overruled, does what was said last", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await publish(stream, [1, 2])
    const batch = (await sub.nextBatch())!
    const [one, two] = await batch.list()
    batch.retry(one!, { delay: 0 })
    batch.done(one!)
    batch.deadLetter(two!)
    batch.retry(two!, { delay: 0 })
    await batch.finish()
    expect(await takeAll(sub)).toEqual([[2]])
  })

  test("comes to nothing where the batch is taken over, given back, or the transaction rolls back", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await publish(stream, [1, 2])
    const batch = (await sub.nextBatch())!
    batch.retry(await eventOf(batch, 1), { delay: 0 })
    const { tx, end } = await openTransaction(pool)
    await batch.finish({ tx })
    await end("rollback")
    expect(await admin.getSubscriptionInfo(stream.name, "sub")).toMatchObject({ retries: 0, batches: [{ id: batch.id }] })
    await moveClock(pool, "31 seconds")
    const second = (await stream.subscription("sub", { owner: "b" }).nextBatch())!
    expect(await errorOf(batch.finish())).toBeInstanceOf(StaleBatchError)
    expect(await numbersOf(second)).toEqual([1, 2])
    await second.release()
    expect(await take(sub)).toEqual([1, 2])
    expect(await takeAll(sub)).toEqual([])
  })

  test("of one event twice in SQL is one, the last word counts", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    const [id] = await publish(stream, [1, 2])
    const batch = (await sub.nextBatch())!
    await pool.query("select sluice.finish_batch($1, 'sub', $2, (select lease from sluice.batch where id = $2), $3)", [stream.name, batch.id, JSON.stringify([{ id, delay: 3_600_000 }, { id, delay: 0 }])])
    expect(await takeAll(sub)).toEqual([[1]])
    await moveClock(pool, "2 hours")
    expect(await takeAll(sub)).toEqual([])
  })

  test("of thousands comes in one batch (PgQ moves ten at a time)", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await publish(stream, range(1, 3000))
    const batch = (await sub.nextBatch({ maxEvents: 5000 }))!
    for await (const event of batch.events()) if ((event.data as number) % 2) batch.retry(event, { delay: 0 })
    await batch.finish()
    expect((await takeAll(sub, { maxEvents: 5000 })).map(({ length }) => length)).toEqual([1500])
  })

  test("outlives the events that it is a copy of", async () => {
    const stream = await freshStream({ rotationPeriod: "1s" })
    const sub = await subscribe(stream)
    await publish(stream, [1, 2])
    const batch = (await sub.nextBatch())!
    batch.retry(await eventOf(batch, 1), { delay: "1h" })
    await batch.finish()
    for (const seconds of range(1, 6)) {
      await moveClock(pool, `${2 * seconds} seconds`)
      await client.maintenance().run()
    }
    expect((await pool.query(`select from sluice.event_s${(await pool.query("select id from sluice.queue where name = $1", [stream.name])).rows[0].id}`)).rowCount).toBe(0)
    await moveClock(pool, "61 minutes")
    expect(await takeAll(sub)).toEqual([[1]])
  })
})

describe("a dead event", () => {
  test("is one at its limit of attempts, with its errors", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream, "sub", { maxAttempts: 3 })
    const [id] = await publish(stream, [1])
    expect(await retry(sub, 1)).toEqual([])
    const second = (await sub.nextBatch())!
    second.retry(await eventOf(second, 1), { delay: 0, error: new TypeError("no") })
    expect(await second.finish()).toEqual({ dead: [] })
    expect(await retry(sub, 1)).toEqual([id])
    await moveClock(pool, "1 year")
    expect(await sub.nextBatch()).toBeNull()
    expect(await admin.deadEvents(stream.name, "sub")).toMatchObject([{ id, type: "n", data: 1, attempt: 3, errors: [{ name: "TypeError", message: "no", attempt: 2 }] }])
    expect(await admin.getSubscriptionInfo(stream.name, "sub")).toMatchObject({ retries: 0, dead: 1 })
  })

  test("is one that was given up; never with maxAttempts null", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream, "sub", { maxAttempts: null })
    const [id] = await publish(stream, [1, 2])
    const batch = (await sub.nextBatch())!
    batch.deadLetter(await eventOf(batch, 1), { error: "bad" })
    expect(await batch.finish()).toEqual({ dead: [id] })
    await publish(stream, [3])
    for (const _ of range(1, 30)) expect(await retry(sub, 3)).toEqual([])
    expect(await sub.nextBatch()).toMatchObject({ count: 1 })
    expect(await admin.deadEvents(stream.name, "sub")).toMatchObject([{ id }])
  })

  test("comes again when it is redriven, its attempts counted from 0; those of other subscriptions stay", async () => {
    const stream = await freshStream()
    const subs = [await subscribe(stream, "sub", { maxAttempts: 1 }), await subscribe(stream, "other", { maxAttempts: 1 })]
    const ids = await publish(stream, range(1, 5))
    for (const sub of subs) expect([...(await retry(sub, ...range(1, 5)))].sort()).toEqual(ids)
    const page = await admin.deadEvents(stream.name, "sub", { limit: 3 })
    expect(page.map(({ data }) => data)).toEqual([5, 4, 3])
    expect((await admin.deadEvents(stream.name, "sub", { before: page.at(-1)!.place })).map(({ data }) => data)).toEqual([2, 1])
    expect(await admin.redriveEvents(stream.name, "sub", { ids: [ids[1]!, "999999"] })).toEqual([ids[1]])
    const batch = (await subs[0]!.nextBatch())!
    expect(await batch.list()).toMatchObject([{ id: ids[1], data: 2, attempt: 1 }])
    await batch.finish()
    expect((await admin.redriveEvents(stream.name, "sub")).sort()).toEqual(ids.filter((_, i) => i !== 1))
    expect(await takeAll(subs[0]!)).toEqual([[1, 3, 4, 5]])
    expect(await takeAll(subs[1]!)).toEqual([])
    expect(await admin.deadEvents(stream.name, "other")).toHaveLength(5)
  })
})
