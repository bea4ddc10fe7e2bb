import { expect, test } from "vitest"
import { harness } from "./helpers/harness.ts"

const { client, pool, freshQueue } = await harness()

test("keys", async () => {
  const name = await freshQueue({ backoff: null })
  const q = client.queue(name)
  const a = await q.send(1, { key: "k" })
  expect(await q.send(2, { key: "k" })).toBe(a)
  await expect(q.send(2, { key: "k", onConflict: "error" })).rejects.toMatchObject({ code: "key_conflict", id: a, key: "k" })
  expect(await q.send(3, { key: "k", onConflict: "replace", delay: 0 })).toBe(a)
  const held = (await q.read())!
  expect(held).toMatchObject({ id: a, payload: 3 })
  expect(await q.send(4, { key: "k" })).toBe(a)
  const b = await q.send(4, { key: "k", onConflict: "replace" })
  expect(b).not.toBe(a)
  await q.delete(held)
  await q.delete((await q.read())!)
  const c = await q.send(5, { key: "k" })
  expect([a, b]).not.toContain(c)
  expect(await q.sendBatch([{ payload: 1, key: "x" }, { payload: 2, key: "x" }, { payload: 3 }])).toHaveLength(3)
  const d = await q.send(1, { key: "d", debounce: "1h" })
  expect(await q.send(2, { key: "d", debounce: "1h" })).toBe(d)
  expect(await client.admin.messages.get(d)).toMatchObject({ payload: 2, state: "delayed" })
  const t = await q.send(1, { key: "t", throttle: "1h" })
  await q.purge()
  expect(await q.send(1, { key: "t", throttle: "1h" })).toBe(t)
  expect(await q.promote(d)).toBe(null)
})

test("groups", async () => {
  const name = await freshQueue({ fifo: true, backoff: null })
  const q = client.queue<number>(name)
  await q.sendBatch([1, 2, 3].map((payload) => ({ payload, group: "a" })))
  await q.send(10, { group: "b" })
  await q.send(20)
  const first = await q.readBatch({ limit: 10 })
  expect(first.map(({ payload }) => payload).sort((x, y) => x - y)).toEqual([1, 10, 20])
  expect(await q.read()).toBeNull()
  const one = first.find(({ payload }) => payload === 1)!
  await q.retry(one, { delay: "1h" })
  expect(await q.read()).toBeNull()
  await q.promote(one.id)
  const again = (await q.read())!
  expect(again.payload).toBe(1)
  await q.delete(again)
  expect((await q.read())?.payload).toBe(2)
})

test("limits", async () => {
  const name = await freshQueue({ concurrency: 3, groupConcurrency: 2, backoff: null })
  const q = client.queue<number>(name)
  await q.sendBatch([1, 2, 3, 4].map((payload) => ({ payload, group: "a" })))
  expect((await q.readBatch({ limit: 10 })).map(({ payload }) => payload)).toEqual([1, 2])
  await q.sendBatch([5, 6].map((payload) => ({ payload, group: "b" })))
  expect((await q.readBatch({ limit: 10 })).map(({ payload }) => payload)).toEqual([5])
  const rated = client.queue<number>(await freshQueue({ rateLimit: { limit: 2, per: "1h" } }))
  await rated.sendBatch([1, 2, 3].map((payload) => ({ payload })))
  expect(await rated.readBatch({ limit: 10 })).toHaveLength(2)
  expect(await rated.readBatch({ limit: 10 })).toHaveLength(0)
})

test("dependencies", async () => {
  const q = client.queue<string>(await freshQueue({ backoff: null }))
  const [a, b, c, d] = await q.sendBatch([
    { payload: "last", after: [{ ref: "x" }, { ref: "y" }] },
    { payload: "x", ref: "x" },
    { payload: "y", ref: "y" },
    { payload: "after last", after: [{ ref: "x" }], ifFailed: "run" },
  ])
  expect((await client.admin.messages.get(a!))?.state).toBe("parked")
  const held = await q.readBatch({ limit: 10 })
  expect(held.map(({ id }) => id)).toEqual([b, c])
  await q.delete(held[0]!)
  expect((await client.admin.messages.get(a!))?.state).toBe("parked")
  expect((await client.admin.messages.get(d!))?.state).toBe("visible")
  await q.deadLetter(held[1]!)
  expect(await client.admin.messages.get(a!)).toBeNull()
  await expect(q.sendBatch([{ payload: "1", ref: "1", after: [{ ref: "2" }] }, { payload: "2", ref: "2", after: [{ ref: "1" }] }])).rejects.toMatchObject({ field: "items[0].after" })
  await expect(q.send("x", { after: [c!] })).rejects.toMatchObject({ code: "dependency_failed" })
  expect((await pool.query("select count(*)::int as n from sluice.dependency")).rows[0].n).toBe(0)
})

test("expiry", async () => {
  const q = client.queue<number>(await freshQueue({ done: "archive" }))
  await q.send(1, { expireAt: new Date(Date.now() - 1000) })
  await q.send(2)
  expect((await q.read())?.payload).toBe(2)
  expect((await client.admin.archive.list({ queue: q.name })).items).toMatchObject([{ outcome: "expired" }])
})

test("an edit refuses a group that Postgres could not store", async () => {
  const q = client.queue(await freshQueue({ fifo: true }))
  const id = await q.send(1, { group: "a" })
  for (const group of ["", "x".repeat(501), "a\0b", "\ud800", 1 as never]) {
    await expect(q.edit(id, { group })).rejects.toMatchObject({ code: "invalid_option", field: "group" })
  }
})
