import { beforeEach, expect, test } from "vitest"
import { harness, inTransaction } from "./helpers/harness.ts"
import { segments } from "./helpers/segments.ts"

const { client, pool } = await harness()
const { freshStream, publish, drain, later, next, turn, rotate } = segments({ client, pool })
beforeEach(() => later(0))

const many = (count: number): string[] => Array.from({ length: count }, (_, n) => `event ${n}`)
const state = (name: string) => client.admin.getSubscriptionInfo(name, "reader")
const rolledBack = (name: string, count: number): Promise<unknown> =>
  inTransaction(pool, (tx) => client.stream(name).publishBatch(many(count).map((data) => ({ type: "said", data })), { tx }), { end: "rollback" })

async function withReader(): Promise<string> {
  const name = await freshStream()
  await client.admin.createSubscription(name, "reader")
  return name
}

test("rolled-back events are not counted, nor do they expire anybody", async () => {
  const name = await withReader()
  await rolledBack(name, 500)
  expect(await state(name)).toMatchObject({ lag: 0, pendingEvents: 0, pendingBytes: 0 })
  await publish(name, "a")
  expect(await state(name)).toMatchObject({ pendingEvents: 1 })
  await client.admin.updateSubscription(name, "reader", { lagLimit: { events: 100 }, whenStuck: "expire" })
  await client.maintenance().run()
  expect(await drain(name, "reader")).toEqual(["a"])
})

test("those that commit late are", async () => {
  const name = await withReader()
  await client.transaction(async (tx) => {
    await client.stream(name).publish("said", "late", { tx })
    await publish(name, "a")
    expect(await drain(name, "reader")).toEqual(["a"])
    expect(await state(name)).toMatchObject({ lag: 0, pendingEvents: 0 })
  })
  // The counter was read past it.
  expect(await state(name)).toMatchObject({ pendingEvents: 1 })
  expect(await drain(name, "reader")).toEqual(["late"])
})

test("slices, and open batches of members, count until they are finished", async () => {
  const name = await withReader()
  await publish(name, ...many(25))
  const member = () => client.stream(name).subscription("reader", { member: true }).nextBatch({ maxEvents: 10 })
  const [first, second] = [(await member())!, (await member())!]
  await publish(name, "one more")
  expect(await state(name)).toMatchObject({ pendingEvents: 26 })
  await second.finish()
  expect(await state(name)).toMatchObject({ pendingEvents: 16 })
  const third = (await member())!
  expect(third.count).toBe(5)
  await third.finish()
  expect(await state(name)).toMatchObject({ pendingEvents: 11 })
  await first.finish()
  expect(await state(name)).toMatchObject({ pendingEvents: 1 })
  await drain(name, "reader")
  expect(await state(name)).toMatchObject({ pendingEvents: 0, lag: 0, pendingBytes: 0 })
})

test("beyond 10,000 the estimate is near the truth, and never below what was counted", async () => {
  const name = await withReader()
  await publish(name, ...many(5))
  await drain(name, "reader")
  for (let round = 0; round < 3; round++) await publish(name, ...many(5000))
  await rolledBack(name, 1000)
  const { pendingEvents, pendingBytes } = await state(name)
  expect(pendingEvents).toBe(16_000)
  const { bytes } = await client.admin.getStreamInfo(name)
  expect(pendingBytes).toBeGreaterThan(0.9 * bytes)
  expect(pendingBytes).toBeLessThanOrEqual(bytes)
  const batch = (await next(name, "reader", 8000))!
  expect(await state(name)).toMatchObject({ pendingEvents: 15_000 })
  await batch.finish()
  expect((await state(name)).pendingEvents).toBe(7000)
})

test("the age is that of the oldest event, whatever its id, and of a retried one there is none", async () => {
  const name = await withReader()
  await publish(name, "a")
  await later(100)
  await publish(name, "b")
  expect((await state(name)).lag / 1000).toBeCloseTo(100, -1)
  const batch = (await next(name, "reader"))!
  for (const event of await batch.list()) batch.retry(event, { delay: "1d" })
  await batch.finish()
  expect(await state(name)).toMatchObject({ lag: 0, pendingEvents: 0, retries: 2, dead: 0 })
})

test("what was rotated away by others' leave is not in the share of bytes", async () => {
  const name = await withReader()
  await publish(name, ...many(1000))
  await drain(name, "reader")
  await turn(name)
  expect(await rotate(name)).toBe("truncated")
  await publish(name, ...many(10))
  const { bytes } = await client.admin.getStreamInfo(name)
  const { pendingBytes } = await state(name)
  expect(pendingBytes).toBeLessThanOrEqual(bytes)
  expect(pendingBytes).toBeGreaterThan(0)
})
