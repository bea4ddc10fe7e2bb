import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { segments } from "./helpers/segments.ts"

const { client, pool } = await harness()
const { freshStream, publish, drain, later, next, turn } = segments({ client, pool })
beforeEach(() => later(0))

const clock = async (): Promise<Date> => (await pool.query<{ now: Date }>("select sluice.clock() as now")).rows[0]!.now

describe("getStreamInfo, as PgQ's get_queue_info", () => {
  test("of a new stream", async () => {
    const name = await freshStream()
    const info = await client.admin.getStreamInfo(name)
    expect(info).toEqual({
      ...(await client.admin.getStream(name)),
      published: 0, eventsPerSecond: 0, newEvents: 0, lastTick: "1", tickerLag: expect.any(Number), segment: 0, segmentSince: expect.any(Date), bytes: expect.any(Number), subscriptions: 0, heldBy: [],
    })
    expect(await client.admin.listStreams()).toContainEqual(await client.admin.getStream(name))
  })

  test("of one that is in use", async () => {
    const name = await freshStream()
    await client.admin.createSubscription(name, "slow")
    await client.admin.createSubscription(name, "fast")
    const start = await clock()
    await publish(name, ...Array.from({ length: 100 }, String))
    await later(10)
    await client.admin.forceTick(name)
    await publish(name, "a", "b")
    await later(5)
    await drain(name, "fast")
    const before = await client.admin.getStreamInfo(name)
    expect(before).toMatchObject({ published: 102, newEvents: 2, lastTick: "2", segment: 0, subscriptions: 2, heldBy: [] })
    expect(before.eventsPerSecond).toBeGreaterThan(8)
    expect(before.eventsPerSecond).toBeLessThanOrEqual(10.1)
    expect(before.tickerLag! / 1000).toBeCloseTo(5, 0)
    await turn(name)
    const after = await client.admin.getStreamInfo(name)
    expect(after).toMatchObject({ segment: 1, heldBy: ["slow"], bytes: before.bytes })
    expect(after.segmentSince.getTime()).toBeGreaterThan(start.getTime() + 3 * 3_600_000)
    await inTransaction(pool, (tx) => client.stream(name).publish("said", "undone", { tx }), { end: "rollback" })
    expect(await client.admin.getStreamInfo(name)).toMatchObject({ published: 103, newEvents: 3 })
  })

  test("of none", async () => {
    expect(await errorOf(client.admin.getStreamInfo("none"))).toMatchObject({ name: "StreamNotFoundError" })
  })
})

describe("getSubscriptionInfo, as PgQ's get_consumer_info", () => {
  test("of a new subscription", async () => {
    const name = await freshStream()
    const { created, ...setup } = await client.admin.createSubscription(name, "reader")
    expect(created).toBe(true)
    expect(await client.admin.getSubscriptionInfo(name, "reader")).toEqual({
      ...setup, lag: 0, pendingEvents: 0, pendingBytes: 0, eventsPerSecond: 0, lastSeenAt: null, lastTick: "1", batches: [], retries: 0, dead: 0,
    })
  })

  test("its batches, rate, and when it was last seen", async () => {
    const name = await freshStream()
    await client.admin.createSubscription(name, "team")
    await publish(name, ...Array.from({ length: 60 }, String))
    const member = (owner: string) => client.stream(name).subscription("team", { owner, member: true }).nextBatch({ maxEvents: 20 })
    const [one, two, three] = [(await member("one"))!, (await member("two"))!, (await member("three"))!]
    await later(10)
    await two.renew()
    await three.release()
    const now = await clock()
    const info = await client.admin.getSubscriptionInfo(name, "team")
    expect(info.batches).toEqual([
      { id: one.id, owner: "one", events: 20, attempt: 1, openedAt: one.openedAt, leasedUntil: new Date(one.openedAt.getTime() + 30_000) },
      { id: two.id, owner: "two", events: 20, attempt: 1, openedAt: two.openedAt, leasedUntil: expect.any(Date) },
      { id: three.id, owner: null, events: 20, attempt: 1, openedAt: three.openedAt, leasedUntil: null },
    ])
    expect(info.batches[1]!.leasedUntil!.getTime()).toBeGreaterThan(two.openedAt.getTime() + 39_000)
    expect(info.lastSeenAt).toEqual(three.openedAt)
    await one.finish()
    await two.finish()
    const done = await client.admin.getSubscriptionInfo(name, "team")
    expect(done.lastSeenAt!.getTime()).toBeGreaterThanOrEqual(now.getTime())
    expect(done.batches.map(({ id }) => id)).toEqual([three.id])
    await later(20)
    // 40 within the last 20 s; none in the last minute a while later.
    expect((await client.admin.getSubscriptionInfo(name, "team")).eventsPerSecond).toBeCloseTo(2, 0)
    await later(61)
    expect((await client.admin.getSubscriptionInfo(name, "team")).eventsPerSecond).toBe(0)
  })

  test("events to be retried, and dead ones", async () => {
    const name = await freshStream()
    await client.admin.createSubscription(name, "reader")
    await publish(name, "a", "b", "c")
    const batch = (await next(name, "reader"))!
    const [a, b] = await batch.list()
    batch.retry(a!, { delay: "1h" })
    batch.deadLetter(b!)
    expect(await batch.finish()).toEqual({ dead: [b!.id] })
    expect(await client.admin.getSubscriptionInfo(name, "reader")).toMatchObject({ retries: 1, dead: 1, pendingEvents: 0, lag: 0 })
  })

  test("one that exists with other options, and how they are changed", async () => {
    const name = await freshStream()
    await client.admin.createSubscription(name, "reader")
    const error = await errorOf(client.admin.createSubscription(name, "reader", { lease: "5s" }))
    expect(error.message).toContain(`client.admin.updateSubscription("${name}", "reader", { … })`)
  })

  test("lists them in order of name, and says what is not there", async () => {
    const name = await freshStream()
    for (const subscription of ["b", "a", "c"]) await client.admin.createSubscription(name, subscription)
    expect((await client.admin.listSubscriptions(name)).map((one) => one.name)).toEqual(["a", "b", "c"])
    expect(await errorOf(client.admin.getSubscriptionInfo(name, "none"))).toMatchObject({ name: "SubscriptionNotFoundError" })
    expect(await errorOf(client.admin.listSubscriptions("none"))).toMatchObject({ name: "StreamNotFoundError" })
  })
})
