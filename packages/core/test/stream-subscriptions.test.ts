import { QueueAlreadyExistsError, QueueOptionsDifferError, StaleBatchError, StreamNotFoundError, SubscriptionNotFoundError, TickNotFoundError } from "@sluice/core"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { numbersOf, openTransaction, publish, range, streamHarness, take, takeAll } from "./helpers/streams.ts"
import { until } from "./helpers/until.ts"

const { client, pool, freshStream, subscribe } = await streamHarness()
const { admin } = client
beforeEach(() => moveClock(pool, "0"))

describe("a subscription begins", () => {
  test("at latest: with what commits later, whenever it was published (pgq_core: a consumer registered later sees only later events)", async () => {
    const stream = await freshStream()
    await publish(stream, [1])
    const late = await openTransaction(pool)
    await publish(stream, [2], late.tx)
    const sub = await subscribe(stream)
    await publish(stream, [3])
    expect(await takeAll(sub)).toEqual([[3]])
    await late.end()
    expect(await takeAll(sub)).toEqual([[2]])
  })

  test("at earliest: with all that is stored", async () => {
    const stream = await freshStream()
    await publish(stream, [1, 2])
    await publish(stream, [3])
    expect(await takeAll(await subscribe(stream, "all", { from: "earliest" }))).toEqual([[1, 2, 3]])
  })

  test("at a tick: with what it did not see", async () => {
    const stream = await freshStream()
    await publish(stream, [1])
    const late = await openTransaction(pool)
    await publish(stream, [2], late.tx)
    const tick = await admin.forceTick(stream.name)
    await publish(stream, [3])
    await late.end()
    await admin.forceTick(stream.name)
    expect(await takeAll(await subscribe(stream, "sub", { from: { tick } }))).toEqual([[2, 3]])
    const none = await errorOf<TickNotFoundError>(subscribe(stream, "other", { from: { tick: "99" } }))
    expect(none).toBeInstanceOf(TickNotFoundError)
    expect(none).toMatchObject({ stream: stream.name, tick: "99" })
    expect((await admin.listSubscriptions(stream.name)).map(({ name }) => name)).toEqual(["sub"])
  })

  test("at a time: with all from the last tick before it", async () => {
    const stream = await freshStream()
    await publish(stream, [1])
    await admin.forceTick(stream.name)
    await moveClock(pool, "10 seconds")
    await publish(stream, [2])
    await admin.forceTick(stream.name)
    await moveClock(pool, "20 seconds")
    await publish(stream, [3])
    const at = (seconds: number) => ({ from: { time: new Date(Date.now() + seconds * 1000) } })
    expect(await takeAll(await subscribe(stream, "first", at(5)))).toEqual([[2, 3]])
    expect(await takeAll(await subscribe(stream, "second", at(15)))).toEqual([[3]])
    expect(await takeAll(await subscribe(stream, "before", at(-86_400)))).toEqual([[1, 2, 3]])
    expect(await takeAll(await subscribe(stream, "later", at(86_400)))).toEqual([[3]])
  })

  test("in a transaction: without what that published, which comes later, and not at all where it rolls back", async () => {
    const stream = await freshStream()
    const { tx, end } = await openTransaction(pool)
    await publish(stream, [1], tx)
    expect(await admin.createSubscription(stream.name, "sub", { tx })).toMatchObject({ created: true })
    await end("rollback")
    expect(await errorOf(stream.subscription("sub").nextBatch())).toBeInstanceOf(SubscriptionNotFoundError)
    const second = await openTransaction(pool)
    await publish(stream, [2], second.tx)
    await admin.createSubscription(stream.name, "sub", { tx: second.tx })
    await second.end()
    expect(await takeAll(stream.subscription("sub"))).toEqual([[2]])
  })
})

describe("creating one again", () => {
  test("finds it, and leaves it where it is (pgq_core: register 1, 0)", async () => {
    const stream = await freshStream()
    expect(await admin.createSubscription(stream.name, "sub", { lease: "10s" })).toMatchObject({ created: true, lease: "10s" })
    await publish(stream, [1])
    expect(await admin.createSubscription(stream.name, "sub", { lease: "10s" })).toMatchObject({ created: false, lease: "10s" })
    expect(await admin.createSubscription(stream.name, "sub", { from: "latest" })).toMatchObject({ created: false })
    expect(await takeAll(stream.subscription("sub"))).toEqual([[1]])
  })

  test("with other options is refused, and says which; with ifExists error any is", async () => {
    const stream = await freshStream()
    await admin.createSubscription(stream.name, "sub", { lease: "10s", maxAttempts: 3 })
    const error = await errorOf<QueueOptionsDifferError>(admin.createSubscription(stream.name, "sub", { lease: "11s", maxAttempts: null, whenStuck: "expire" }))
    expect(error).toBeInstanceOf(QueueOptionsDifferError)
    expect(error.differences.map(({ option }) => option)).toEqual(["lease", "maxAttempts", "whenStuck"])
    expect(await errorOf(admin.createSubscription(stream.name, "sub", { ifExists: "error" }))).toBeInstanceOf(QueueAlreadyExistsError)
    expect(await admin.updateSubscription(stream.name, "sub", { lease: "11s", maxAttempts: null })).toMatchObject({ lease: "11s", maxAttempts: null })
    expect(await admin.createSubscription(stream.name, "sub", { lease: "11s", maxAttempts: null })).toMatchObject({ created: false })
  })

  test("by many at once makes one", async () => {
    const stream = await freshStream()
    const made = await Promise.all(range(1, 8).map(() => admin.createSubscription(stream.name, "sub")))
    expect(made.filter(({ created }) => created)).toHaveLength(1)
  })
})

test("each of two sees all, at its own pace; dropping one tells whether there was one (pgq_core: unregister 1, 0)", async () => {
  const stream = await freshStream()
  const [a, b] = [await subscribe(stream, "a"), await subscribe(stream, "b")]
  await publish(stream, [1])
  expect(await take(a)).toEqual([1])
  await publish(stream, [2])
  expect(await takeAll(a)).toEqual([[2]])
  expect(await takeAll(b)).toEqual([[1, 2]])
  expect((await admin.listSubscriptions(stream.name)).map(({ name }) => name)).toEqual(["a", "b"])
  expect(await admin.dropSubscription(stream.name, "a")).toBe(true)
  expect(await admin.dropSubscription(stream.name, "a")).toBe(false)
  expect(await errorOf(a.nextBatch())).toBeInstanceOf(SubscriptionNotFoundError)
  expect(await errorOf(admin.getSubscriptionInfo(stream.name, "a"))).toBeInstanceOf(SubscriptionNotFoundError)
  expect((await admin.listSubscriptions(stream.name)).map(({ name }) => name)).toEqual(["b"])
  expect(await takeAll(await subscribe(stream, "a"))).toEqual([])
})

test("an unknown stream has none", async () => {
  for (const call of [
    () => admin.createSubscription("nope", "sub"), () => admin.dropSubscription("nope", "sub"), () => admin.listSubscriptions("nope"), () => admin.updateSubscription("nope", "sub", {}),
    () => admin.reposition("nope", "sub", { to: "latest" }), () => client.stream("nope").subscription("sub").nextBatch(), () => admin.deadEvents("nope", "sub"), () => admin.redriveEvents("nope", "sub"),
  ]) expect(await errorOf(call as () => Promise<unknown>), String(call)).toBeInstanceOf(StreamNotFoundError)
})

describe("reposition", () => {
  test("back and forth; what was open is stale, and what it held comes as the new position says", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await publish(stream, [1])
    const tick = await admin.forceTick(stream.name)
    await publish(stream, [2])
    expect(await take(sub)).toEqual([1, 2])
    await publish(stream, [3])
    const open = (await sub.nextBatch())!
    expect(await numbersOf(open)).toEqual([3])
    await admin.reposition(stream.name, "sub", { to: { tick } })
    expect(await errorOf(open.finish())).toBeInstanceOf(StaleBatchError)
    expect(await errorOf(open.renew())).toBeInstanceOf(StaleBatchError)
    expect(await takeAll(sub)).toEqual([[2, 3]])
    await admin.reposition(stream.name, "sub", { to: "earliest" })
    expect(await take(sub)).toEqual([1, 2, 3])
    await publish(stream, [4])
    await admin.reposition(stream.name, "sub", { to: "latest" })
    await publish(stream, [5])
    expect(await takeAll(sub)).toEqual([[5]])
  })

  test("in the middle of a large window forgets what was left of it", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await publish(stream, range(1, 10))
    expect(await take(sub, { maxEvents: 4 })).toEqual([1, 2, 3, 4])
    await admin.reposition(stream.name, "sub", { to: "latest" })
    await publish(stream, [11])
    expect(await takeAll(sub, { maxEvents: 4 })).toEqual([[11]])
    await admin.reposition(stream.name, "sub", { to: "earliest" })
    expect((await takeAll(sub, { maxEvents: 4 })).flat()).toEqual(range(1, 11))
  })

  test("waits for who is just finishing, and comes after", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await publish(stream, [1])
    const batch = (await sub.nextBatch())!
    const { tx, end } = await openTransaction(pool)
    await batch.finish({ tx })
    const moved = admin.reposition(stream.name, "sub", { to: "earliest" })
    await until(async () => (await pool.query("select from pg_stat_activity where wait_event_type = 'Lock' and query like '%try_reposition%'")).rowCount, "it waits")
    await end()
    await moved
    expect(await pool.query("select outcome from sluice.batch_end where batch = $1", [batch.id])).toMatchObject({ rows: [{ outcome: "finished" }] })
    expect(await takeAll(sub)).toEqual([[1]])
  })

  test("lets an expired one live again, and a tick that there is not changes nothing", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream, "sub", { whenStuck: "expire", lagLimit: { age: "1m" } })
    await publish(stream, [1])
    await moveClock(pool, "61 seconds")
    await client.maintenance({ onStuck: () => {} }).run()
    expect(await errorOf(sub.nextBatch())).toMatchObject({ code: "subscription_expired" })
    expect(await errorOf(admin.reposition(stream.name, "sub", { to: { tick: "99" } }))).toBeInstanceOf(TickNotFoundError)
    expect(await errorOf(sub.nextBatch())).toMatchObject({ code: "subscription_expired" })
    await admin.reposition(stream.name, "sub", { to: "earliest" })
    expect(await admin.getSubscriptionInfo(stream.name, "sub")).toMatchObject({ expiredAt: null, stuckAt: null })
    expect(await takeAll(sub)).toEqual([[1]])
  })
})

test("a subscription says the last tick that it is past", async () => {
  const stream = await freshStream()
  const sub = await subscribe(stream)
  await publish(stream, [1])
  const tick = await admin.forceTick(stream.name)
  await take(sub)
  expect(await admin.getSubscriptionInfo(stream.name, "sub")).toMatchObject({ lastTick: tick })
})
