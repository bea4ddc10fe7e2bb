import { beforeEach, describe, expect, test } from "vitest"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
beforeEach(() => moveClock(pool, "0"))

/** Sends one message and uses up all its attempts. Its lease is null afterwards, or expired where `by` says so. */
async function exhaust(name: string, payload: unknown, by: "release" | "expiry", priority?: number): Promise<string> {
  const queue = client.queue(name)
  const id = await queue.send(payload, priority === undefined ? {} : { priority })
  const { maxAttempts } = await client.admin.getQueue(name)
  for (let attempt = 1; attempt <= maxAttempts!; attempt++) {
    const message = (await queue.read())!
    expect(message).toMatchObject({ id, attempt })
    if (by === "release") await queue.release(message)
    else await queue.setVt(message, 0)
  }
  return id
}

describe.each(["release", "expiry"] as const)("a message whose attempts were used up by %s", (by) => {
  test.each(["read", "pop"] as const)("is buried by %s, which still returns up to limit live ones", async (way) => {
    const dead = await freshQueue()
    const name = await freshQueue({ maxAttempts: 2, deadLetter: dead })
    const gone = [await exhaust(name, "poison 1", by, 0), await exhaust(name, "poison 2", by, 0)]
    const queue = client.queue(name)
    const live = await queue.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
    const got = await (way === "read" ? queue.readBatch({ limit: 3 }) : queue.popBatch({ limit: 3 }))
    expect(got.map(({ id }) => id)).toEqual(live.slice(0, 3))
    const { items } = await client.admin.messages.list({ queue: dead })
    expect(items).toMatchObject(gone.map((id) => ({ id, origin: name, attempt: 0, state: "visible" })))
    expect(await client.admin.metrics(dead)).toMatchObject({ length: 2, total: 2 })
  })

  test.each(["read", "pop"] as const)(
    "goes to the archive as dead where there is no dead-letter queue (%s)",
    async (way) => {
      const name = await freshQueue({ maxAttempts: 1 })
      const id = await exhaust(name, { poison: true }, by)
      expect(await client.queue(name)[way]()).toBeNull()
      expect(await client.admin.messages.count({ queue: name })).toBe(0)
      expect(await client.admin.archive.list({ queue: name })).toMatchObject({
        items: [{ id, outcome: "dead", attempt: 1, payload: { poison: true }, origin: null }],
        next: null,
      })
    },
  )
})

describe("a batch that meets exhausted messages", () => {
  test.each(["read", "pop"] as const)("keeps the order of delivery (%s)", async (way) => {
    const name = await freshQueue({ maxAttempts: 1 })
    const queue = client.queue(name)
    const last = await queue.send("last", { priority: 3 })
    const poison = await queue.send("poison", { priority: 0 })
    await queue.release((await queue.read())!)
    const first = await queue.send("first", { priority: 0 })
    const got = await (way === "read" ? queue.readBatch({ limit: 2 }) : queue.popBatch({ limit: 2 }))
    expect(got.map(({ id }) => id)).toEqual([first, last])
    expect(await client.admin.archive.get(poison)).toMatchObject({ outcome: "dead" })
  })

  test("delivers no message twice under a lease of 0", async () => {
    const name = await freshQueue({ maxAttempts: 5 })
    const queue = client.queue(name)
    await exhaust(name, "poison", "release", 0)
    const id = await queue.send("alive")
    const got = await queue.readBatch({ limit: 3, lease: 0 })
    expect(got).toMatchObject([{ id, attempt: 1 }])
    expect(await client.admin.messages.get(id)).toMatchObject({ attempt: 1, state: "visible" })
  })

  test("of nothing else is empty, and so is the queue", async () => {
    const name = await freshQueue({ maxAttempts: 1 })
    for (let n = 0; n < 5; n++) {
      const id = await client.queue(name).send(n)
      await client.queue(name).release((await client.queue(name).read())!)
      await pool.query("update sluice.message set vt = 'infinity' where id = $1", [id]) // out of the next read's way
    }
    await pool.query(
      "update sluice.message set vt = sluice.clock() where queue = (select id from sluice.queue where name = $1)",
      [name],
    )
    expect(await client.queue(name).readBatch({ limit: 2 })).toEqual([])
    expect(await client.admin.archive.count({ queue: name, outcome: "dead" })).toBe(5)
    expect(await client.admin.metrics(name)).toMatchObject({ length: 0, oldestAge: null })
  })
})

describe("retry", () => {
  test("at the limit of attempts is death, and every error travels along to the dead-letter queue", async () => {
    const dead = await freshQueue()
    const name = await freshQueue({ maxAttempts: 2, deadLetter: dead })
    const queue = client.queue(name)
    const id = await queue.send("x", { headers: { trace: "t1" } })
    const { outcome, visibleAt } = await queue.retry((await queue.read())!, {
      error: new TypeError("first"),
      delay: "10s",
    })
    expect(outcome).toBe("retry")
    expect(visibleAt).toBeInstanceOf(Date)
    expect(await queue.read()).toBeNull()
    await moveClock(pool, "11 seconds")
    expect(await queue.retry((await queue.read())!, { error: "second", delay: "10s" })).toEqual({
      outcome: "dead",
      visibleAt: null,
    })
    expect(await client.admin.messages.get(id)).toMatchObject({
      queue: dead,
      origin: name,
      headers: { trace: "t1" },
      errors: [
        { name: "TypeError", message: "first", stack: expect.any(String), attempt: 1 },
        { name: "Error", message: "second", attempt: 2 },
      ],
    })
    expect(await client.queue(dead).read()).toMatchObject({ id, attempt: 1, payload: "x", headers: { trace: "t1" } })
  })

  test("at the limit without a dead-letter queue archives as dead, with every error", async () => {
    const name = await freshQueue({ maxAttempts: 1 })
    const id = await client.queue(name).send("x")
    await client.queue(name).retry((await client.queue(name).read())!, { error: "why" })
    const stored = await client.admin.archive.get(id)
    expect(stored).toMatchObject({
      queue: name,
      outcome: "dead",
      errors: [{ message: "why", attempt: 1, at: expect.any(String) }],
    })
    expect(new Date(stored!.errors[0]!.at).getTime()).not.toBeNaN()
  })

  test.each([
    ["cut in the middle of a character", "x".repeat(9_999) + "😀"],
    ["with U+0000 and a lone surrogate", "a\0b\ud800c"],
    ["of a megabyte", "y".repeat(1_000_000)],
  ])("keeps an error message %s", async (_what, message) => {
    const queue = client.queue(await freshQueue())
    const id = await queue.send("x")
    const error = Object.assign(new Error(message), { stack: { toString: () => message } })
    expect(await queue.retry((await queue.read())!, { error })).toMatchObject({ outcome: "retry" })
    const kept = (await client.admin.messages.get(id))!.errors[0]!
    expect(kept.message.length).toBeLessThanOrEqual(10_000)
    expect(kept.message[0]).toBe(message[0])
  })

  test("never ends a message of unlimited attempts", async () => {
    const queue = client.queue(await freshQueue({ maxAttempts: null, backoff: null }))
    const id = await queue.send("x")
    await pool.query("update sluice.message set attempt = 1000000 where id = $1", [id])
    expect(await queue.retry((await queue.read())!)).toMatchObject({ outcome: "retry" })
    expect(await queue.pop()).toMatchObject({ id, attempt: 1_000_002 })
  })
})

describe("a dead-letter queue", () => {
  test("of fewer levels takes what it gets into its last level", async () => {
    const dead = await freshQueue({ levels: 1 })
    const name = await freshQueue({ levels: 16, maxAttempts: 1, deadLetter: dead })
    const id = await exhaust(name, "x", "release", 15)
    expect(await client.queue(name).read()).toBeNull()
    expect(await client.queue(dead).read()).toMatchObject({ id, priority: 0 })
  })

  test("buries its own dead in turn, further along the chain", async () => {
    const last = await freshQueue()
    const middle = await freshQueue({ maxAttempts: 1, deadLetter: last })
    const first = await freshQueue({ maxAttempts: 1, deadLetter: middle })
    const id = await client.queue(first).send("x")
    for (const name of [first, middle])
      await client.queue(name).retry((await client.queue(name).read())!, { error: name })
    expect(await client.admin.messages.get(id)).toMatchObject({
      queue: last,
      origin: middle,
      errors: [{ message: first }, { message: middle }],
    })
  })

  test("that was dropped by force leaves the dead to the archive", async () => {
    const dead = await freshQueue()
    const name = await freshQueue({ maxAttempts: 1, deadLetter: dead })
    const id = await exhaust(name, "x", "release")
    expect(await client.admin.dropQueue(dead, { force: true })).toBe(true)
    expect(await client.admin.getQueue(name)).toMatchObject({ deadLetter: null })
    expect(await client.queue(name).read()).toBeNull()
    expect(await client.admin.archive.get(id)).toMatchObject({ queue: name, outcome: "dead" })
  })

  test("gets nothing where the burying transaction rolls back", async () => {
    const dead = await freshQueue()
    const name = await freshQueue({ maxAttempts: 1, deadLetter: dead })
    const id = await exhaust(name, "x", "release")
    const tx = await pool.connect()
    await tx.query("begin")
    expect(await client.queue(name).read({ tx })).toBeNull()
    expect(await client.admin.messages.get(id, { tx })).toMatchObject({ queue: dead })
    await tx.query("rollback")
    tx.release()
    expect(await client.admin.messages.get(id)).toMatchObject({ queue: name, attempt: 1 })
  })
})
