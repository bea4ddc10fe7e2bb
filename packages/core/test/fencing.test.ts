import { type Leased, StaleLeaseError } from "@sluice/core"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
beforeEach(() => moveClock(pool, "0"))

/** A queue with one message, leased for 30 seconds. */
async function leased(options?: Parameters<typeof freshQueue>[0]) {
  const queue = client.queue(await freshQueue(options))
  const id = await queue.send({ n: 1 })
  const message = (await queue.read({ lease: "30s" }))!
  expect(message.id).toBe(id)
  return { queue, id, message }
}
type Queue = Awaited<ReturnType<typeof leased>>["queue"]

/** Every way to settle or move a lease, refused for `stale` while what is there stays as it is. */
async function expectRefused(queue: Queue, stale: Leased): Promise<void> {
  const before = await client.admin.messages.get(stale.id)
  const settles: Record<string, () => Promise<unknown>> = {
    delete: () => queue.delete(stale),
    archive: () => queue.archive(stale),
    release: () => queue.release(stale),
    retry: () => queue.retry(stale, { delay: "1m", error: "late" }),
    setVt: () => queue.setVt(stale, "1h"),
    setVtDate: () => queue.setVt(stale, new Date()),
    extend: () => queue.extend(stale, "1h"),
  }
  for (const [name, settle] of Object.entries(settles)) {
    const error = await errorOf<StaleLeaseError>(settle)
    expect(error, name).toBeInstanceOf(StaleLeaseError)
    expect(error, name).toMatchObject({ code: "stale_lease", queue: queue.name, id: stale.id, lease: stale.lease })
  }
  expect(await queue.deleteBatch([stale])).toEqual({ settled: [], refused: [stale.id] })
  expect(await queue.archiveBatch([stale])).toEqual({ settled: [], refused: [stale.id] })
  const after = await client.admin.messages.get(stale.id)
  expect(after).toEqual(before && { ...before, state: after?.state })
}

describe("a stale lease settles nothing", () => {
  test("after expiry and a new read, and the new holder settles (pgqrs: zombie consumer race)", async () => {
    const { queue, message } = await leased()
    await moveClock(pool, "31 seconds")
    const second = (await queue.read())!
    expect(second).toMatchObject({ id: message.id, attempt: 2 })
    expect(second.lease).not.toBe(message.lease)
    await expectRefused(queue, message)
    await queue.delete(second)
    await expectRefused(queue, second)
  })

  test("after a read that rolled back", async () => {
    const queue = client.queue(await freshQueue())
    const id = await queue.send("x")
    const message = (await inTransaction(pool, (tx) => queue.read({ tx }), { end: "rollback" }))!
    expect(message.id).toBe(id)
    expect(await client.admin.messages.get(id)).toMatchObject({ state: "visible", attempt: 0 })
    await expectRefused(queue, message)
    const second = (await queue.read())!
    expect(second).toMatchObject({ id, attempt: 1 })
    expect(second.lease).not.toBe(message.lease)
    await expectRefused(queue, message)
    await queue.archive(second)
  })

  test("after release", async () => {
    const { queue, message } = await leased()
    await queue.release(message)
    await expectRefused(queue, message)
    const second = (await queue.read())!
    expect(second).toMatchObject({ id: message.id, attempt: 2 })
    await expectRefused(queue, message)
    await queue.delete(second)
  })

  test("after retry", async () => {
    const { queue, message } = await leased()
    expect(await queue.retry(message, { delay: "1m" })).toMatchObject({ outcome: "retry" })
    await expectRefused(queue, message)
    await moveClock(pool, "61 seconds")
    expect(await queue.read()).toMatchObject({ id: message.id, attempt: 2 })
    await expectRefused(queue, message)
  })

  test("after setVt(0) and a new read; before that read it still holds", async () => {
    const { queue, message } = await leased()
    const moved = await queue.setVt(message, 0)
    expect(moved.lease).toBe(message.lease)
    await queue.extend(moved, "1ms")
    await queue.setVt(moved, 0)
    const second = (await queue.read())!
    expect(second.id).toBe(message.id)
    await expectRefused(queue, message)
    await expectRefused(queue, moved)
    await queue.delete(second)
  })

  test("after the message was deleted, archived, popped, purged or dead-lettered", async () => {
    for (const leave of [
      async ({ queue, message }) => queue.delete(message),
      async ({ queue, message }) => queue.archive(message),
      async ({ queue, message }) => queue.setVt(message, 0).then(() => queue.pop()),
      async ({ queue }) => queue.purge(),
    ] as ((at: Awaited<ReturnType<typeof leased>>) => Promise<unknown>)[]) {
      const at = await leased()
      await leave(at)
      expect(await client.admin.messages.get(at.id)).toBeNull()
      await expectRefused(at.queue, at.message)
    }
    const dead = await freshQueue()
    const at = await leased({ maxAttempts: 1, deadLetter: dead })
    expect(await at.queue.retry(at.message)).toEqual({ outcome: "dead", visibleAt: null })
    await expectRefused(at.queue, at.message)
    await expectRefused(client.queue(dead), at.message)
  })

  test("of another queue", async () => {
    const { queue, message } = await leased()
    const other = client.queue(await freshQueue())
    await expectRefused(other, message)
    await queue.delete(message)
  })

  test("with the right lease of another message", async () => {
    const { queue, message } = await leased()
    await queue.send("second")
    const second = (await queue.read())!
    await expectRefused(queue, { id: message.id, lease: second.lease })
    await expectRefused(queue, { id: message.id, lease: "0" })
    await queue.deleteBatch([message, second]).then((result) => expect(result.refused).toEqual([]))
  })
})

describe("a batch", () => {
  test("with two leases swapped refuses both and settles the others", async () => {
    const queue = client.queue(await freshQueue())
    await queue.sendBatch([1, 2, 3].map((payload) => ({ payload })))
    const one = (await queue.read())!
    const two = (await queue.read())!
    const three = (await queue.read())!
    const swapped = [{ id: one.id, lease: two.lease }, three, { id: two.id, lease: one.lease }]
    expect(await queue.archiveBatch(swapped)).toEqual({ settled: [three.id], refused: [one.id, two.id] })
    expect(await queue.archiveBatch([two, one])).toEqual({ settled: [one.id, two.id], refused: [] })
  })

  test("with one id under two leases settles it once and says that the other was refused, in either order", async () => {
    for (const order of [(a: Leased, b: Leased) => [a, b], (a: Leased, b: Leased) => [b, a]]) {
      const { queue, message } = await leased()
      await moveClock(pool, "31 seconds")
      const second = (await queue.read())!
      await moveClock(pool, "0")
      expect(await queue.deleteBatch(order(message, second))).toEqual({ settled: [message.id], refused: [message.id] })
    }
  })

  test("with one message twice settles it once, and takes ids of any length in any order", async () => {
    const queue = client.queue(await freshQueue())
    // Ids are compared as numbers: as texts, "10" comes before "9".
    await pool.query("select setval('sluice.message_id', greatest(nextval('sluice.message_id'), 998))")
    const ids = await queue.sendBatch(Array.from({ length: 5 }, (_, n) => ({ payload: n })))
    expect(new Set(ids.map((id) => id.length)).size).toBe(2)
    const messages = [...(await queue.readBatch({ limit: 2 })), ...(await queue.readBatch({ limit: 3 }))]
    const result = await queue.deleteBatch([...messages.reverse(), messages[0]!])
    expect(result).toEqual({ settled: ids, refused: [] })
  })

  test("of 500 finds the lease of each", async () => {
    const queue = client.queue(await freshQueue())
    await queue.sendBatch(Array.from({ length: 500 }, (_, n) => ({ payload: n })))
    const messages: Leased[] = []
    for (let message; (message = await queue.read());) messages.push(message)
    const stale = messages.filter((_, i) => i % 7 === 0).map(({ id }) => ({ id, lease: messages.at(-1)!.lease }))
    const mixed = messages.map((message, i) => (i % 7 === 0 ? stale[i / 7]! : message))
    const { settled, refused } = await queue.deleteBatch(mixed.sort((a, b) => (a.lease < b.lease ? -1 : 1)))
    expect(refused).toEqual(stale.map(({ id }) => id))
    expect(settled).toHaveLength(500 - stale.length)
  })
})

describe("an expired lease", () => {
  test.each(["delete", "archive", "release", "retry", "extend"] as const)(
    "that nobody has taken since may still %s",
    async (settle) => {
      const { queue, message } = await leased()
      await moveClock(pool, "31 seconds")
      expect(await client.admin.messages.get(message.id)).toMatchObject({ state: "visible" })
      await (settle === "extend" ? queue.extend(message, "1h") : queue[settle](message))
      if (settle === "extend") expect(await queue.read()).toBeNull()
      await moveClock(pool, "0")
    },
  )

  test("hides the message until then, and from then on gives it to the next reader", async () => {
    const { queue, message } = await leased()
    await moveClock(pool, "29 seconds")
    expect(await queue.read()).toBeNull()
    expect(await queue.pop()).toBeNull()
    await moveClock(pool, "31 seconds")
    expect(await queue.pop()).toMatchObject({ id: message.id, attempt: 2 })
  })
})

describe("a time in the past is now", () => {
  test.each([new Date(0), new Date(-62_135_596_800_000), new Date(Date.now() - 1000)])("at: %s", async (at) => {
    const queue = client.queue(await freshQueue())
    const id = await queue.send("x", { at })
    const [second] = await queue.sendBatch([{ payload: "y", at }])
    expect(await queue.readBatch({ limit: 3 })).toMatchObject([{ id }, { id: second }])
  })

  test.each([new Date(0), new Date(Date.now() - 1000), 0 as const])("setVt(message, %s)", async (vt) => {
    const { queue, message } = await leased()
    const { visibleAt } = await queue.setVt(message, vt)
    expect(visibleAt!.getTime()).toBeGreaterThanOrEqual(message.enqueuedAt.getTime())
    expect(await queue.read()).toMatchObject({ id: message.id, attempt: 2 })
  })
})
