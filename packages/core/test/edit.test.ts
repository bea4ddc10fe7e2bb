import { afterEach, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
afterEach(() => moveClock(pool, "0"))
const fresh = async (options = {}) => client.queue(await freshQueue({ backoff: null, ...options }))

test("a waiting message becomes what the edit says, and stays the rest", async () => {
  const q = await fresh({ fifo: true })
  const id = await q.send({ a: 1 }, { headers: { h: 1 }, delay: "1h", group: "g" })
  expect(await q.edit(id, { payload: null })).toBe("edited")
  expect(await q.edit(id, { priority: 0, at: new Date(0) })).toBe("edited")
  expect(await q.read()).toMatchObject({ id, payload: null, headers: { h: 1 }, priority: 0, attempt: 1 })
})

test("reschedule and promote", async () => {
  const q = await fresh()
  const id = await q.send(1)
  await q.edit(id, { delay: "1m" })
  expect(await q.read()).toBeNull()
  expect(await q.promote(id)).toBe("edited")
  expect((await q.read())?.id).toBe(id)
})

test("one that somebody holds is left alone; one whose lease is over is edited, and its lease is stale", async () => {
  const q = await fresh()
  const id = await q.send(1)
  const message = (await q.read())!
  for (const outcome of [await q.edit(id, { payload: 2 }), await q.promote(id)]) expect(outcome).toBe("held")
  await moveClock(pool, "31 seconds")
  expect(await q.edit(id, { payload: 2 })).toBe("edited")
  expect(await errorOf(q.delete(message))).toMatchObject({ code: "stale_lease" })
  expect((await q.read())?.payload).toBe(2)
})

test("one that is gone, or of another queue, is null", async () => {
  const [q, other] = [await fresh(), await fresh()]
  const id = await q.send(1)
  for (const outcome of [await other.edit(id, { payload: 2 }), await other.promote(id), await other.cancel(id)]) expect(outcome).toBeNull()
  await q.pop()
  for (const outcome of [await q.edit(id, { payload: 2 }), await q.promote(id), await q.cancel(id)]) expect(outcome).toBeNull()
})

test("a group can be another one, where the queue has groups", async () => {
  const q = await fresh({ fifo: true })
  await q.send(1, { group: "a" })
  const id = await q.send(2, { group: "a" })
  expect(await q.edit(id, { group: "b" })).toBe("edited")
  expect(await q.readBatch({ limit: 9 })).toHaveLength(2)
  const plain = await fresh()
  expect(await errorOf(plain.edit(await plain.send(1), { group: "b" }))).toMatchObject({ code: "invalid_option", field: "group" })
  expect(await errorOf(plain.send(1, { group: "b" }))).toMatchObject({ code: "invalid_option", field: expect.stringContaining("group") })
})

test("a payload that the schema refuses is not stored", async () => {
  const schema = { "~standard": { version: 1, vendor: "test", validate: (value: unknown) => (typeof value === "number" ? { value } : { issues: [{ message: "no number" }] }) } } as const
  const q = client.queue(await freshQueue(), { payload: schema as never })
  const id = await q.send(1 as never)
  expect(await errorOf(q.edit(id, { payload: "x" as never }))).toMatchObject({ code: "payload_invalid" })
  expect((await client.admin.messages.get(id))?.payload).toBe(1)
})

test("waits for a claim that is being made, and takes part in the caller's transaction", async () => {
  const q = await fresh()
  const id = await q.send(1)
  await inTransaction(pool, (tx) => q.edit(id, { payload: 2 }, { tx }), { end: "rollback" })
  expect((await client.admin.messages.get(id))?.payload).toBe(1)
  let edited: Promise<unknown> | undefined
  await inTransaction(pool, async (tx) => {
    await q.read({ tx })
    edited = q.edit(id, { payload: 2 })
    await expect.poll(async () => (await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount).toBe(1)
  })
  expect(await edited).toBe("held")
})

test("a message whose time is over is not delivered, by read nor by pop, nor again", async () => {
  const q = await fresh({ done: "archive" })
  const soon = (ms: number) => new Date(Date.now() + ms)
  await q.send("once", { expireAt: soon(60_000) })
  expect((await q.read())?.payload).toBe("once")
  await q.sendBatch([{ payload: "late", expireAt: soon(60_000) }, { payload: "kept", expireAt: soon(60_000) }])
  const kept = (await client.admin.messages.list({ queue: q.name })).items.find(({ payload }) => payload === "kept")!
  await q.edit(kept.id, { expireAt: null })
  await moveClock(pool, "2 minutes")
  expect((await q.pop())?.payload).toBe("kept")
  expect(await q.read()).toBeNull()
  expect((await client.admin.archive.list({ queue: q.name })).items.map(({ outcome, payload }) => [outcome, payload])).toEqual(expect.arrayContaining([["expired", "once"], ["expired", "late"]]))
})

test("a crowd of 3000 expired messages in front does not hide what is alive", async () => {
  const q = await fresh()
  await q.sendBatch(Array.from({ length: 3000 }, (_, n) => ({ payload: n, expireAt: new Date(0) })))
  await q.send("alive")
  expect((await q.read())?.payload).toBe("alive")
  expect((await q.metrics()).length).toBe(1)
})
