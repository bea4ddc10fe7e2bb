import { createClient, KeyConflictError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction, openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, url, freshQueue } = await harness()
const fresh = async (options = {}) => client.queue(await freshQueue({ backoff: null, ...options }))
const payloads = async (q: Awaited<ReturnType<typeof fresh>>) => (await q.readBatch({ limit: 100 })).map(({ payload }) => payload)

test("a key is taken while its message waits or is held, and free when it is settled (AsyncMQ: dedup simple)", async () => {
  const q = await fresh()
  const first = await q.send(1, { key: "k" })
  expect(await q.send(2, { key: "k" })).toBe(first)
  const message = (await q.read())!
  expect(message).toMatchObject({ id: first, payload: 1 })
  expect(await q.send(3, { key: "k" })).toBe(first)
  await q.retry(message)
  expect(await q.send(4, { key: "k" })).toBe(first)
  await q.delete((await q.read())!)
  expect(await q.send(5, { key: "k" })).not.toBe(first)
})

test("keys are of one queue, and are compared byte by byte", async () => {
  const [a, b] = [await fresh(), await fresh()]
  const ids = [await a.send(1, { key: "k" }), await b.send(1, { key: "k" }), await a.send(1, { key: "K" }), await a.send(1, { key: "k " }), await a.send(1, { key: "é" }), await a.send(1, { key: "e\u0301" })]
  expect(new Set(ids).size).toBe(ids.length)
})

test("replace puts another message in place of the one that waits", async () => {
  const q = await fresh({ levels: 4, fifo: true })
  const id = await q.send(1, { key: "k", headers: { a: 1 }, group: "g", delay: "1h" })
  expect(await q.send(2, { key: "k", onConflict: "replace", priority: 0 })).toBe(id)
  expect(await q.read()).toMatchObject({ id, payload: 2, headers: {}, priority: 0, attempt: 1 })
  const next = await q.send(3, { key: "k", onConflict: "replace" })
  expect(next).not.toBe(id)
  expect(await q.send(4, { key: "k" })).toBe(next)
})

test("replace of a message that is being claimed at that moment sends a new one, and waits for nobody", async () => {
  const q = await fresh()
  const id = await q.send(1, { key: "k" })
  await inTransaction(pool, async (tx) => {
    expect((await q.read({ tx }))?.id).toBe(id)
    expect(await q.send(2, { key: "k", onConflict: "replace" })).not.toBe(id)
  })
  expect(await payloads(q)).toEqual([2])
})

test("replace of a message that somebody else waits for keeps its id", async () => {
  const q = await fresh()
  const id = await q.send(1, { key: "k" })
  await inTransaction(pool, async (tx) => {
    await q.send("after", { after: [id], tx })
    expect(await q.send(2, { key: "k", onConflict: "replace" })).toBe(id)
  })
  expect(await payloads(q)).toEqual([2])
})

test("error names the queue, the key and who has it, and the caller's transaction goes on", async () => {
  const q = await fresh()
  const id = await q.send(1, { key: "k" })
  const other = await inTransaction(pool, async (tx) => {
    const error = await errorOf<KeyConflictError>(q.send(2, { key: "k", onConflict: "error", tx }))
    expect(error).toBeInstanceOf(KeyConflictError)
    expect(error).toMatchObject({ code: "key_conflict", queue: q.name, key: "k", id })
    return q.send(3, { tx })
  })
  expect((await q.readBatch({ limit: 9 })).map((message) => message.id)).toEqual([id, other])
})

test("a batch with one conflict writes nothing, and the caller's transaction goes on", async () => {
  const q = await fresh()
  await q.send(1, { key: "k" })
  await inTransaction(pool, async (tx) => {
    await q.send("before", { tx })
    const items = [{ payload: 2 }, { payload: 3, key: "new" }, { payload: 4, key: "k", onConflict: "error" as const }]
    expect(await errorOf(q.sendBatch(items, { tx }))).toMatchObject({ code: "key_conflict", key: "k", index: 2 })
    await q.send("after", { key: "new", tx })
  })
  expect(await payloads(q)).toEqual([1, "before", "after"])
})

test("one batch that names a key twice sends one message; bulk mix (AsyncMQ)", async () => {
  const q = await fresh()
  const old = await q.send("old", { key: "there" })
  const ids = await q.sendBatch([{ payload: 1, key: "a" }, { payload: 2, key: "a" }, { payload: 3 }, { payload: 4, key: "there" }, { payload: 5, key: "b" }])
  expect(ids[1]).toBe(ids[0])
  expect(ids[3]).toBe(old)
  expect(await payloads(q)).toEqual(["old", 1, 3, 5])
  expect((await q.metrics()).total).toBe(4)
})

test("custom id duplicate ignored, first args kept (AsyncMQ)", async () => {
  const q = await fresh()
  await Promise.all(Array.from({ length: 10 }, () => q.send("first", { key: "job-1" })))
  await q.send("second", { key: "job-1" })
  expect(await payloads(q)).toEqual(["first"])
})

test("until it is started: free when a reader first gets it", async () => {
  const q = await fresh()
  const id = await q.send(1, { key: "k", keyUntil: "started" })
  expect(await q.send(2, { key: "k", keyUntil: "started" })).toBe(id)
  const message = (await q.read())!
  const next = await q.send(3, { key: "k", keyUntil: "started" })
  expect(next).not.toBe(id)
  await q.release(message)
  expect(await q.send(4, { key: "k", keyUntil: "started" })).toBe(next)
})

test("throttle: one in so much time, whatever becomes of it (AsyncMQ: throttle until ttl)", async () => {
  const q = await fresh()
  const id = await q.send(1, { key: "k", throttle: "1m" })
  await q.pop()
  expect(await q.send(2, { key: "k", throttle: "1m" })).toBe(id)
  expect(await payloads(q)).toEqual([])
  try {
    await moveClock(pool, "59 seconds")
    expect(await q.send(2, { key: "k", throttle: "1m" })).toBe(id)
    await moveClock(pool, "61 seconds")
    expect(await q.send(3, { key: "k", throttle: "1m" })).not.toBe(id)
  } finally {
    await moveClock(pool, "0")
  }
})

test("debounce: the last one counts, and each puts it off (AsyncMQ: debounce replace)", async () => {
  const q = await fresh()
  const id = await q.send(1, { key: "k", debounce: "1m" })
  try {
    await moveClock(pool, "50 seconds")
    expect(await q.send(2, { key: "k", debounce: "1m" })).toBe(id)
    await moveClock(pool, "70 seconds")
    expect(await q.read()).toBeNull()
    await moveClock(pool, "111 seconds")
    expect(await q.read()).toMatchObject({ id, payload: 2 })
    expect(await q.send(3, { key: "k", debounce: "1m" })).not.toBe(id)
  } finally {
    await moveClock(pool, "0")
  }
})

test("a cancelled or deleted message's key is free at once (AsyncMQ: remove key)", async () => {
  const q = await fresh()
  const id = await q.send(1, { key: "k" })
  await q.cancel(id)
  const next = await q.send(2, { key: "k" })
  expect(next).not.toBe(id)
  await client.admin.messages.delete(q.name, next)
  expect(await q.send(3, { key: "k" })).not.toBe(next)
})

test("an expired message holds its key no longer", async () => {
  const q = await fresh()
  const id = await q.send(1, { key: "k", expireAt: new Date(Date.now() - 1000) })
  expect(await q.send(2, { key: "k" })).not.toBe(id)
})

test("8 senders with one key at once send one message", async () => {
  const q = await fresh()
  for (let round = 0; round < 20; round++) {
    const ids = await Promise.all(Array.from({ length: 8 }, (_, n) => q.send(n, { key: `round ${round}` })))
    expect(new Set(ids).size).toBe(1)
  }
  expect((await q.metrics()).length).toBe(20)
})

test("who sends a key that an open transaction has waits for it: kept if it commits, sent if it rolls back", async () => {
  const q = await fresh()
  for (const end of ["commit", "rollback"] as const) {
    let mine = ""
    let waiting: Promise<string[]> | undefined
    await inTransaction(
      pool,
      async (tx) => {
        mine = await q.send("mine", { key: end, tx })
        waiting = Promise.all([1, 2, 3].map((n) => q.send(n, { key: end })))
        await expect.poll(async () => (await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount).toBe(3)
      },
      { end },
    )
    const ids = new Set(await waiting)
    expect(ids.size).toBe(1)
    expect(ids.has(mine)).toBe(end === "commit")
  }
  expect((await q.metrics()).length).toBe(2)
})

test("AsyncMQ: as many concurrent adds of distinct keys as the pool has connections can deadlock", async () => {
  const q = await fresh()
  const small = openPool(url, 4)
  const mine = createClient(pgDriver(small), { listen: false, notify: false })
  const ids = await Promise.all(Array.from({ length: 40 }, (_, n) => mine.queue(q.name).send(n, { key: `key ${n}` })))
  expect(new Set(ids).size).toBe(40)
  await small.end()
})

test("batches of the same keys in another order do not deadlock", async () => {
  const q = await fresh()
  const keys = Array.from({ length: 50 }, (_, n) => `key ${n}`)
  const item = (key: string) => ({ payload: key, key })
  for (let round = 0; round < 10; round++) {
    await Promise.all([q.sendBatch(keys.map(item)), q.sendBatch(keys.toReversed().map(item)), q.sendBatch(keys.map(item)), q.sendBatch(keys.toReversed().map(item))])
    expect(await q.purge()).toBe(50)
  }
})

describe("REPEATABLE READ", () => {
  const begin = "begin isolation level repeatable read"

  test("sends by key, and finds who has it", async () => {
    const q = await fresh()
    await inTransaction(pool, async (tx) => expect(await q.send(1, { key: "k", tx })).toBe(await q.send(2, { key: "k", tx })), { begin })
    expect((await q.metrics()).length).toBe(1)
  })

  test.each([["a key that was new", false], ["a key that had been used", true]])("passes 40001 on where the key was taken since its snapshot, and doubles nothing: %s", async (_what, used) => {
    const q = await fresh()
    if (used) {
      await q.send(0, { key: "k" })
      await q.pop()
    }
    const error = await errorOf(
      inTransaction(
        pool,
        async (tx) => {
          await tx.query("select 1 from sluice.queue")
          await q.send(1, { key: "k" })
          await q.send(2, { key: "k", tx })
        },
        { begin },
      ),
    )
    expect(error).toMatchObject({ code: "40001" })
    expect(await payloads(q)).toEqual([1])
  })
})

test("maintenance forgets keys that hold no longer, and no others", async () => {
  const q = await fresh()
  await q.sendBatch([1, 2, 3].map((n) => ({ payload: n, key: `gone ${n}` })))
  await q.send(4, { key: "throttled", throttle: "1h" })
  await q.purge()
  const id = await q.send(5, { key: "there" })
  const kept = async () => (await pool.query("select key from sluice.unique_key k join sluice.queue q on q.id = k.queue where q.name = $1 order by key", [q.name])).rows.map(({ key }) => key)
  await pool.query("analyze sluice.unique_key")
  await pool.query("select sluice.clear_keys()")
  expect(await kept()).toEqual(["there", "throttled"])
  expect(await q.send(6, { key: "there" })).toBe(id)
})
