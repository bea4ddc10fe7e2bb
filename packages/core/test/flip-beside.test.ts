import type { Message } from "@sluice/core"
import type { PoolClient } from "pg"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { flipDuring, flipState, flipUntil, leaveStray, makeFlipPay } from "./helpers/flip.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()

/** A queue with `count` messages in the current segment, and a flip that pays. */
async function readyToFlip(count = 10) {
  const queue = client.queue(await freshQueue())
  const ids = await queue.sendBatch(Array.from({ length: count }, (_, payload) => ({ payload })))
  await makeFlipPay(pool)
  return { queue, ids }
}
type Queue = Awaited<ReturnType<typeof readyToFlip>>["queue"]
const idsOf = (messages: readonly Message[]): string[] => messages.map(({ id }) => id).sort()

/** Finishes whatever flip is going on. */
async function settleDown(): Promise<void> {
  while (!["nothing", "refused", "waits"].includes((await flipUntil(pool, "truncated")).at(-1)!));
  expect(await flipState(pool)).toMatchObject({ left: 0 })
}
beforeEach(async () => {
  await moveClock(pool, "0")
  await pool.query("delete from sluice.message")
})

test("a session that keeps a lock on every leaf, as pg_dump does, holds up the flip and nobody else", async () => {
  const { queue, ids } = await readyToFlip()
  const held = await queue.readBatch({ limit: 3 })
  await inTransaction(pool, async (dump) => {
    await dump.query("lock table sluice.message in access share mode")
    expect(await flipUntil(pool, "truncated")).toEqual(["begun", "moved", "moved", "drained", "refused"])
    expect(await flipUntil(pool, "truncated")).toEqual(["refused"])
    ids.push(await queue.send("during"))
    expect(await queue.deleteBatch(held)).toMatchObject({ refused: [] })
    const rest = await queue.readBatch({ limit: 100 })
    expect(idsOf([...held, ...rest])).toEqual(ids.toSorted())
    await queue.archiveBatch(rest.slice(1))
    await queue.release(rest[0]!)
  })
  expect(await flipUntil(pool, "truncated")).toEqual(["truncated"])
  expect(await queue.readBatch({ limit: 100 })).toHaveLength(1)
})

describe("an open transaction that has worked in the segment that a flip leaves", () => {
  const deeds: Record<string, (tx: PoolClient, queue: Queue, held: Message[]) => Promise<unknown>> = {
    sent: (tx, queue) => queue.send("late", { tx }),
    read: (tx, queue) => queue.readBatch({ limit: 2, tx }),
    popped: (tx, queue) => queue.popBatch({ limit: 2, tx }),
    settled: (tx, queue, held) => queue.archiveBatch(held, { tx }),
  }
  const cases = Object.keys(deeds).flatMap((deed) => (["commit", "rollback"] as const).map((end) => [deed, end] as const))

  test.each(cases)("has %s: readers go on visiting it until the %s", async (deed, end) => {
    const { queue, ids } = await readyToFlip()
    const held = await queue.readBatch({ limit: 3 })
    await inTransaction(pool, async (tx) => {
      await deeds[deed]!(tx, queue, held)
      expect((await flipUntil(pool, "drained")).at(-1)).toBe("waits")
      expect(await flipState(pool)).toMatchObject({ visited: null })
    }, { end })
    expect((await flipUntil(pool, "truncated")).at(-1)).toBe("truncated")
    await pool.query("update sluice.message set vt = now(), lease = null")
    const found = idsOf(await queue.readBatch({ limit: 100 }))
    if (end === "rollback") expect(found).toEqual(ids.toSorted())
    else if (deed === "sent") expect(found).toEqual(expect.arrayContaining(ids))
    const gone = end === "rollback" || deed === "read" ? 0 : { sent: -1, popped: 2, settled: 3 }[deed]!
    expect(found).toHaveLength(ids.length - gone)
  })
})

describe("a message in the segment that readers have left", () => {
  test.each(["drained", "truncated"])("is found by the next step of maintenance (a flip that was %s)", async (last) => {
    const { queue } = await readyToFlip(0)
    expect((await flipUntil(pool, last)).at(-1)).toBe(last)
    await leaveStray(pool)
    expect(await flipUntil(pool, "truncated")).toEqual(["reopened", "moved", "moved", "drained", "truncated"])
    expect(await queue.read()).toMatchObject({ payload: "stray" })
  })

  test("is found while a lock keeps the segment from being truncated", async () => {
    const { queue } = await readyToFlip(0)
    await flipUntil(pool, "drained")
    await inTransaction(pool, async (dump) => {
      await dump.query("lock table sluice.message in access share mode")
      await leaveStray(pool)
      expect((await flipUntil(pool, "reopened")).at(-1)).toBe("reopened")
      expect(await queue.read()).toMatchObject({ payload: "stray" })
    })
    await settleDown()
  })

  test("is found by an empty read where nobody has maintained for 10 seconds", async () => {
    const { queue } = await readyToFlip(0)
    await flipUntil(pool, "truncated")
    await client.maintenance().run()
    await leaveStray(pool)
    expect(await queue.read()).toBeNull()
    await moveClock(pool, "11 seconds")
    expect(await queue.read()).toMatchObject({ payload: "stray" })
    await settleDown()
  })

  test("is found by two readers at once, one of whom is slower", async () => {
    const { queue } = await readyToFlip(0)
    await flipUntil(pool, "truncated")
    await moveClock(pool, "1 hour")
    const tx = await pool.connect()
    // The slower one waits for the size of the segment; meanwhile the faster one sends readers back to it.
    await tx.query(`begin; lock table only sluice.message_${1 - (await flipState(pool)).current} in access exclusive mode`)
    const slower = queue.read()
    await expect.poll(async () => (await pool.query("select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")).rowCount).toBe(1)
    await tx.query(`select sluice.set_segments(s, s.current, '{0,1}') from (select * from sluice.segment where storage = 0 order by generation desc limit 1) s`)
    await tx.query("commit")
    tx.release()
    await leaveStray(pool)
    expect([await slower, await queue.read()]).toContainEqual(expect.objectContaining({ payload: "stray" }))
    await settleDown()
  })

  test("was sent by a REPEATABLE READ transaction that began before the flip", async () => {
    const { queue } = await readyToFlip(0)
    await inTransaction(pool, async (tx) => {
      await tx.query("select from sluice.queue")
      expect((await flipUntil(pool, "truncated")).at(-1)).toBe("truncated")
      await queue.send("stray", { tx })
    }, { begin: "begin isolation level repeatable read" })
    expect((await flipState(pool)).left).toBeGreaterThan(0)
    expect((await flipUntil(pool, "truncated"))[0]).toBe("reopened")
    expect(await queue.read()).toMatchObject({ payload: "stray" })
  })
})

const settles: Record<string, (queue: Queue, message: Message, tx?: PoolClient) => Promise<unknown>> = {
  delete: (queue, message, tx) => queue.delete(message, tx && { tx }),
  archive: (queue, message, tx) => queue.archive(message, tx && { tx }),
  release: (queue, message, tx) => queue.release(message, tx && { tx }),
  setVt: (queue, message, tx) => queue.setVt(message, "1m", tx && { tx }),
  extend: (queue, message, tx) => queue.extend(message, "1m", tx && { tx }),
  retry: (queue, message, tx) => queue.retry(message, tx && { tx }),
}

test.each(Object.keys(settles))("a settle that looked up the segment before the flip finds its message in the other one (%s)", async (how) => {
  const { queue } = await readyToFlip(3)
  const message = (await queue.read())!
  await flipDuring(pool, () => settles[how]!(queue, message))
  await settleDown()
})

describe("a REPEATABLE READ transaction that settles across a flip", () => {
  const cases = Object.keys(settles).flatMap((how) => ["moved", "drained", "truncated"].map((last) => [how, last] as const))

  test.each(cases)("is told to try again, not that its lease is stale (%s, messages %s)", async (how, last) => {
    const { queue } = await readyToFlip(3)
    const message = (await queue.read())!
    const error = await errorOf(inTransaction(pool, async (tx) => {
      await tx.query("select from sluice.queue")
      await flipUntil(pool, last)
      await settles[how]!(queue, message, tx)
    }, { begin: "begin isolation level repeatable read" }))
    expect(error).toMatchObject({ code: "40001" })
    await settles[how]!(queue, message)
    await flipUntil(pool, "truncated")
  })

  test("still learns that a lease is stale where nothing was truncated since", async () => {
    const { queue } = await readyToFlip(1)
    const message = (await queue.read())!
    await queue.release(message)
    await flipUntil(pool, "truncated")
    await inTransaction(pool, async (tx) => {
      expect(await errorOf(queue.delete(message, { tx }))).toMatchObject({ code: "stale_lease" })
      await queue.send("usable", { tx })
    }, { begin: "begin isolation level repeatable read" })
  })
})

test("transactions that settle one after the other do not keep a flip going: after some seconds readers leave the old segment", async () => {
  const { queue, ids } = await readyToFlip()
  expect(await flipUntil(pool, "begun")).toEqual(["begun"])
  const [held, ...rest] = await queue.readBatch({ limit: 10 })
  await inTransaction(pool, async (first) => {
    await queue.delete(held!, { tx: first })
    expect((await flipUntil(pool, "drained")).at(-1)).toBe("waits")
    await moveClock(pool, "6 seconds")
    expect((await flipUntil(pool, "drained")).at(-1)).toBe("waits") // the deleted message may come back
  })
  await inTransaction(pool, async (second) => {
    await queue.delete(rest[0]!, { tx: second })
    await queue.deleteBatch(rest.slice(1))
    expect((await flipUntil(pool, "drained")).at(-1)).toBe("drained")
  })
  await settleDown()
  expect(ids).toHaveLength(10)
  expect((await queue.metrics()).length).toBe(0)
})

test("readers leave an empty segment though somebody holds a write lock on it, and come back for what he had sent", async () => {
  const { queue } = await readyToFlip(0)
  await inTransaction(pool, async (tx) => {
    await queue.send("late", { tx })
    expect(await flipUntil(pool, "drained")).toEqual(["begun", "waits"])
    await moveClock(pool, "6 seconds")
    expect(await flipUntil(pool, "drained")).toEqual(["drained"])
    expect(await flipUntil(pool, "truncated")).toEqual(["refused"])
  })
  expect(await flipUntil(pool, "truncated")).toEqual(["reopened", "moved", "moved", "drained", "truncated"])
  expect(await queue.read()).toMatchObject({ payload: "late" })
})
