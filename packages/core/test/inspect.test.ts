import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"

const { client, pool, freshQueue } = await harness()
const { admin } = client

/** Walks all pages of an accessor and checks that each but the last is full. */
async function walk<T>(
  limit: number,
  list: (options: { limit: number; after: string | null }) => Promise<{ items: T[]; next: string | null }>,
): Promise<T[]> {
  const all: T[] = []
  for (let after: string | null = null; ;) {
    const { items, next } = await list({ limit, after })
    all.push(...items)
    if (next === null) return all
    expect(items).toHaveLength(limit)
    after = next
  }
}

describe("metrics", () => {
  test("of an empty queue are 0 and null (pgmq: 0, None, None, 0)", async () => {
    const name = await freshQueue()
    expect(await admin.metrics(name)).toEqual({
      name,
      length: 0,
      visible: 0,
      inFlight: 0,
      delayed: 0,
      oldestAge: null,
      newestAge: null,
      total: 0,
      scrapedAt: expect.any(Date),
    })
  })

  test("count every state once, parked only in length, and the total keeps what has left", async () => {
    const name = await freshQueue()
    const queue = client.queue(name)
    await queue.sendBatch(Array.from({ length: 7 }, (_, n) => ({ payload: n })))
    await queue.send("delayed", { delay: "1h" })
    const leased = await queue.readBatch({ limit: 4 })
    await queue.delete(leased[0]!)
    await queue.archive(leased[1]!)
    await pool.query("update sluice.message set vt = 'infinity', lease = null where id = $1", [leased[2]!.id])
    const metrics = await admin.metrics(name)
    expect(metrics).toMatchObject({ length: 6, visible: 3, inFlight: 1, delayed: 1, total: 8 })
    expect(metrics.oldestAge).toBeGreaterThanOrEqual(metrics.newestAge!)
    expect(metrics.newestAge).toBeGreaterThanOrEqual(0)
    expect(await queue.metrics()).toMatchObject({ length: 6, total: 8 })
    expect((await admin.metricsAll()).find((one) => one.name === name)).toMatchObject({ length: 6, total: 8 })
  })

  test("in a transaction see what it sent, at any isolation level", async () => {
    for (const level of ["read committed", "repeatable read", "serializable"]) {
      const name = await freshQueue()
      await inTransaction(
        pool,
        async (tx) => {
          await client.queue(name).send(1, { tx })
          expect(await admin.metrics(name, { tx })).toMatchObject({ length: 1 })
          expect(await admin.metrics(name)).toMatchObject({ length: 0 })
        },
        { begin: `begin isolation level ${level}` },
      )
      expect(await admin.metrics(name)).toMatchObject({ length: 1, total: 1 })
    }
  })
})

describe("purge", () => {
  test("deletes messages of every state, says how many and leaves the archive (pgmq; pgqrs takes it along)", async () => {
    const name = await freshQueue()
    const queue = client.queue(name)
    expect(await admin.purge(name)).toBe(0)
    await queue.sendBatch([{ payload: 1 }, { payload: 2 }, { payload: 3 }, { payload: 4, delay: "1h" }])
    await queue.archive((await queue.read())!)
    await queue.read()
    expect(await admin.purge(name)).toBe(3)
    expect(await admin.purge(name)).toBe(0)
    expect(await admin.archive.count({ queue: name })).toBe(1)
    expect(await admin.metrics(name)).toMatchObject({ length: 0, total: 4 })
  })

  test("leaves other queues and uncommitted messages alone", async () => {
    const [name, other] = [await freshQueue(), await freshQueue()]
    await client.queue(other).send(1)
    await inTransaction(pool, async (tx) => {
      await client.queue(name).send("open", { tx })
      expect(await admin.purge(name)).toBe(0)
    })
    expect(await client.queue(name).read()).toMatchObject({ payload: "open" })
    expect(await client.queue(other).read()).not.toBeNull()
  })
})

describe("admin.messages", () => {
  test("shows a message in each of its states, without leasing it", async () => {
    const name = await freshQueue()
    const queue = client.queue(name)
    const id = await queue.send({ a: [1] }, { headers: { h: 1 }, priority: 2 })
    const seen = {
      id,
      queue: name,
      state: "visible",
      priority: 2,
      attempt: 0,
      origin: null,
      headers: { h: 1 },
      payload: { a: [1] },
      errors: [],
      key: null,
      group: null,
      expireAt: null,
      progress: null,
    }
    expect(await admin.messages.get(id)).toEqual({ ...seen, enqueuedAt: expect.any(Date), visibleAt: expect.any(Date) })
    const message = (await queue.read())!
    expect(await admin.messages.get(id)).toMatchObject({ state: "inFlight", attempt: 1, visibleAt: message.visibleAt })
    expect(await admin.messages.get(id)).not.toHaveProperty("lease")
    await queue.retry(message, { delay: "1h", error: "e" })
    expect(await admin.messages.get(id)).toMatchObject({ state: "delayed", errors: [{ message: "e", attempt: 1 }] })
    await pool.query("update sluice.message set vt = 'infinity' where id = $1", [id])
    expect(await admin.messages.get(id)).toMatchObject({ state: "parked", visibleAt: null })
    expect(await admin.messages.get("9223372036854775807")).toBeNull()
  })

  test("filters by queue and state, alone and together, and count agrees with list", async () => {
    const [name, other] = [await freshQueue(), await freshQueue()]
    await client
      .queue(name)
      .sendBatch(Array.from({ length: 5 }, (_, n) => ({ payload: n, ...(n > 2 && { delay: "1h" as const }) })))
    await client.queue(other).send(1, { delay: "1h" })
    await client.queue(name).read()
    for (const [filter, count] of [
      [{ queue: name }, 5],
      [{ queue: other }, 1],
      [{ queue: name, state: "visible" }, 2],
      [{ queue: name, state: "inFlight" }, 1],
      [{ queue: name, state: "delayed" }, 2],
      [{ queue: name, state: "parked" }, 0],
    ] as const) {
      expect(await admin.messages.count(filter)).toBe(count)
      const { items, next } = await admin.messages.list(filter)
      expect({ length: items.length, next }).toEqual({ length: count, next: null })
    }
    expect(await admin.messages.count({ state: "delayed" })).toBe(
      (await walk(2, (page) => admin.messages.list({ state: "delayed", ...page }))).length,
    )
  })

  test("pages by id without gap or double, also while messages come and go", async () => {
    const name = await freshQueue()
    const queue = client.queue(name)
    const ids = await queue.sendBatch(Array.from({ length: 25 }, (_, n) => ({ payload: n })))
    for (const limit of [1, 5, 7, 25, 26, 1000]) {
      expect((await walk(limit, (page) => admin.messages.list({ queue: name, ...page }))).map(({ id }) => id)).toEqual(
        ids,
      )
    }
    const first = await admin.messages.list({ queue: name, limit: 10 })
    await queue.deleteBatch(await queue.readBatch({ limit: 10 }))
    const added = await queue.send("added")
    const rest = await admin.messages.list({ queue: name, after: first.next })
    expect(rest.items.map(({ id }) => id)).toEqual([...ids.slice(10), added])
  })

  test("in a transaction shows what is uncommitted there", async () => {
    const name = await freshQueue()
    await inTransaction(pool, async (tx) => {
      const id = await client.queue(name).send(1, { tx })
      expect(await admin.messages.get(id, { tx })).toMatchObject({ id })
      expect(await admin.messages.count({ queue: name, tx })).toBe(1)
      expect((await admin.messages.list({ queue: name, tx })).items).toHaveLength(1)
      expect(await admin.messages.get(id)).toBeNull()
    })
  })
})

describe("admin.archive", () => {
  test("has what was archived, by id, queue and outcome, and pages", async () => {
    const name = await freshQueue({ maxAttempts: 1 })
    const queue = client.queue(name)
    const ids = await queue.sendBatch(Array.from({ length: 12 }, (_, n) => ({ payload: n, headers: { n } })))
    const messages = await queue.readBatch({ limit: 12 })
    for (const message of messages.slice(0, 4)) await queue.retry(message, { error: "dead" })
    await queue.archiveBatch(messages.slice(4))
    expect(await admin.archive.count({ queue: name })).toBe(12)
    expect(await admin.archive.count({ queue: name, outcome: "dead" })).toBe(4)
    expect(await admin.archive.count({ queue: name, outcome: "done" })).toBe(8)
    expect((await walk(5, (page) => admin.archive.list({ queue: name, ...page }))).map(({ id }) => id)).toEqual(ids)
    expect((await admin.archive.list({ queue: name, outcome: "dead" })).items.map(({ id }) => id)).toEqual(
      ids.slice(0, 4),
    )
    expect(await admin.archive.get(ids[5]!)).toEqual({
      id: ids[5],
      queue: name,
      outcome: "done",
      priority: 1,
      attempt: 1,
      origin: null,
      headers: { n: 5 },
      payload: 5,
      errors: [],
      key: null,
      group: null,
      enqueuedAt: expect.any(Date),
      archivedAt: expect.any(Date),
    })
    expect(await admin.archive.get("1" + "0".repeat(18))).toBeNull()
  })

  test("is never read by readers (pgmq: archive then read is None)", async () => {
    const queue = client.queue(await freshQueue())
    await queue.send(1)
    await queue.archive((await queue.read())!)
    expect(await queue.read()).toBeNull()
    expect(await queue.pop()).toBeNull()
  })
})

describe("admin.queues", () => {
  test("counts, gets and pages by name, from a prefix taken literally", async () => {
    const names = ["p%a", "p_a", "pXa"].map((name) => name.replace("%", "-"))
    for (const name of [...names, "P_a", "zz"]) await admin.createQueue(name)
    expect(await admin.queues.count({ prefix: "p" })).toBe(3)
    expect(await admin.queues.count({ prefix: "p_" })).toBe(1)
    expect(await admin.queues.count({ prefix: "P" })).toBe(1)
    expect(await admin.queues.count({ prefix: "" })).toBe(await admin.queues.count())
    expect((await walk(2, (page) => admin.queues.list({ prefix: "p", ...page }))).map(({ name }) => name)).toEqual(
      [...names].sort(),
    )
    expect((await walk(3, (page) => admin.queues.list(page))).length).toBe(await admin.queues.count())
    expect(await admin.queues.get("p_a")).toEqual(await admin.getQueue("p_a"))
    expect(await errorOf(admin.queues.get("p"))).toMatchObject({ code: "queue_not_found", queue: "p" })
  })
})

test("a filter that names no queue throws QueueNotFoundError; the archive still knows a dropped one", async () => {
  const missing = { code: "queue_not_found", queue: "nowhere" }
  expect(await errorOf(admin.messages.count({ queue: "nowhere" }))).toMatchObject(missing)
  expect(await errorOf(admin.messages.list({ queue: "nowhere" }))).toMatchObject(missing)
  expect(await errorOf(admin.archive.count({ queue: "nowhere" }))).toMatchObject(missing)
  expect(await errorOf(admin.archive.list({ queue: "nowhere" }))).toMatchObject(missing)

  const name = await freshQueue()
  await client.queue(name).send(1)
  await client.queue(name).archive((await client.queue(name).read())!)
  await admin.dropQueue(name, { keepArchive: true })
  expect(await errorOf(admin.messages.count({ queue: name }))).toMatchObject({ code: "queue_not_found", queue: name })
  expect(await admin.archive.count({ queue: name })).toBe(1)
  expect((await admin.archive.list({ queue: name })).items).toHaveLength(1)
})
