import {
  createClient,
  DeadLetterCycleError,
  IsolationLevelError,
  QueueAlreadyExistsError,
  QueueNotFoundError,
  QueueOptionsDifferError,
} from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import type { PoolClient } from "pg"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction, openPool } from "./helpers/harness.ts"

const { url, client, pool, freshQueue } = await harness()
const { admin } = client
const outcomes = <T>(promises: Promise<T>[]) =>
  Promise.allSettled(promises).then((all) => all.map((one) => (one.status === "fulfilled" ? one.value : one.reason)))

describe("createQueue", () => {
  test("makes a queue with the documented defaults, and finds it the second time", async () => {
    const first = await admin.createQueue("defaults")
    expect(first).toEqual({
      id: expect.stringMatching(/^\d+$/),
      name: "defaults",
      createdAt: expect.any(Date),
      created: true,
      levels: 4,
      lease: "30s",
      maxAttempts: 20,
      deadLetter: null,
      notify: "off",
      archiveRetention: null,
      storage: "shared",
      partition: null,
      backoff: { kind: "exponential", base: "1s", max: "10m", jitter: 0.2 },
      done: "delete",
      onInvalid: "deadLetter",
      pausedAt: null,
      results: null,
      concurrency: null,
      groupConcurrency: null,
      rateLimit: null,
      groupRateLimit: null,
      fifo: false,
      fair: false,
    })
    expect(Math.abs(first.createdAt.getTime() - Date.now())).toBeLessThan(60_000)
    expect(await admin.createQueue("defaults")).toEqual({ ...first, created: false })
  })

  test("says what can be done about a difference, and what cannot", async () => {
    await admin.createQueue("advised")
    await expect(admin.createQueue("advised", { levels: 2 })).rejects.toThrow("updateQueue")
    await expect(admin.createQueue("advised", { storage: "dedicated" })).rejects.toThrow("Storage is fixed at creation")
  })

  test("keeps every option, and finds a queue of equal options however they are written", async () => {
    await admin.createQueue("graves")
    const options = {
      levels: 16,
      lease: "90s",
      maxAttempts: null,
      deadLetter: "graves",
      notify: "transaction",
    } as const
    expect(await admin.createQueue("all", options)).toMatchObject({ ...options, created: true })
    expect(await admin.createQueue("all", { ...options, lease: "1.5m" })).toMatchObject({ ...options, created: false })
    expect(await admin.createQueue("all", { levels: 16 })).toMatchObject({ ...options, created: false })
    expect(await admin.createQueue("all")).toMatchObject({ ...options, created: false })
  })

  test.each(["1ms", "0.25s", "36500d"] as const)("takes a lease of %s and gives it back", async (lease) => {
    const name = await freshQueue({ lease })
    expect((await admin.createQueue(name, { lease })).created).toBe(false)
    await client.queue(name).send(1)
    expect(await client.queue(name).read()).toMatchObject({ attempt: 1 })
  })

  test("with other options names each difference and the fix, and changes nothing", async () => {
    const before = await admin.createQueue("differs", { levels: 2, maxAttempts: 3 })
    const error = await errorOf<QueueOptionsDifferError>(
      admin.createQueue("differs", { levels: 4, maxAttempts: null, lease: "30s" }),
    )
    expect(error).toBeInstanceOf(QueueOptionsDifferError)
    expect(error).toMatchObject({ code: "options_differ", queue: "differs" })
    expect(error.differences).toEqual([
      { option: "levels", stored: 2, requested: 4 },
      { option: "maxAttempts", stored: 3, requested: null },
    ])
    expect(error.message).toContain("levels is 2, asked for was 4")
    expect(error.message).toContain('updateQueue("differs"')
    expect(await admin.getQueue("differs")).toEqual(withoutCreated(before))
  })

  test("with ifExists: error throws for a queue that is there, carrying the name (pgqrs)", async () => {
    expect(await admin.createQueue("once", { ifExists: "error" })).toMatchObject({ created: true })
    const error = await errorOf<QueueAlreadyExistsError>(admin.createQueue("once", { ifExists: "error" }))
    expect(error).toBeInstanceOf(QueueAlreadyExistsError)
    expect(error).toMatchObject({ code: "queue_already_exists", queue: "once" })
  })

  test("20 times at once makes one queue: one of them created it", async () => {
    await admin.createQueue("crowd.dead")
    const own = openPool(url, 20)
    const creators = createClient(pgDriver(own), { listen: false })
    for (const options of [{}, { deadLetter: "crowd.dead", levels: 3 }]) {
      const name = `crowd.${Object.keys(options).length}`
      const results = await outcomes(Array.from({ length: 20 }, () => creators.admin.createQueue(name, options)))
      expect(results.filter((result) => result.created === true)).toHaveLength(1)
      expect(results.filter((result) => result.created === false)).toHaveLength(19)
      expect(new Set(results.map(({ id }) => id)).size).toBe(1)
    }
    await own.end()
  })

  test("of 20 queues at once, each with a dead-letter queue, makes 20", async () => {
    await admin.createQueue("many.dead")
    const own = openPool(url, 20)
    const creators = createClient(pgDriver(own), { listen: false })
    const results = await outcomes(
      Array.from({ length: 20 }, (_, n) => creators.admin.createQueue(`many.${n}`, { deadLetter: "many.dead" })),
    )
    expect(results.map((result) => result.created ?? result)).toEqual(Array.from({ length: 20 }, () => true))
    await own.end()
  })

  test("and dropQueue of one name, over and over at once, always answer for that name", async () => {
    const own = openPool(url, 4)
    const { admin: racing } = createClient(pgDriver(own), { listen: false })
    for (let round = 0; round < 40; round++) {
      const results = await outcomes<unknown>([
        racing.createQueue("race"),
        racing.dropQueue("race"),
        racing.createQueue("race"),
        racing.dropQueue("race"),
      ])
      for (const made of [results[0], results[2]])
        expect(made).toMatchObject({ name: "race", levels: 4, id: expect.any(String) })
      expect([true, false]).toContain(results[1])
    }
    await own.end()
  })

  test("in a transaction that rolls back has made nothing (pgmq-sqlalchemy: commit=False then rollback)", async () => {
    await inTransaction(pool, (tx) => admin.createQueue("undone", { tx }), { end: "rollback" })
    expect(await errorOf(admin.getQueue("undone"))).toBeInstanceOf(QueueNotFoundError)
    expect(await admin.createQueue("undone")).toMatchObject({ created: true })
  })

  test("names an unknown dead-letter queue and makes nothing", async () => {
    const error = await errorOf<QueueNotFoundError>(admin.createQueue("hopeful", { deadLetter: "nowhere" }))
    expect(error).toBeInstanceOf(QueueNotFoundError)
    expect(error.queue).toBe("nowhere")
    expect(await errorOf(admin.getQueue("hopeful"))).toBeInstanceOf(QueueNotFoundError)
  })

  test("names that differ in case are two queues that share nothing (pgmq: one breaks the other)", async () => {
    for (const name of ["MyQ", "myq", "my-q", "my.q", "my:q", "my_q", "1", "a".repeat(63), "select"]) {
      expect(await admin.createQueue(name)).toMatchObject({ name, created: true })
      await client.queue(name).send(name)
    }
    expect(await admin.dropQueue("MyQ")).toBe(true)
    expect(await client.queue("myq").read()).toMatchObject({ payload: "myq" })
    expect((await admin.metrics("my-q")).length).toBe(1)
  })
})

describe("updateQueue", () => {
  test("changes every option and resets those that may be null", async () => {
    const dead = await freshQueue()
    const name = await freshQueue()
    for (const patch of [
      { levels: 16 },
      { levels: 1 },
      { lease: "2h" },
      { maxAttempts: 1 },
      { maxAttempts: null },
      { deadLetter: dead },
      { deadLetter: null },
      { notify: "transaction" },
      { notify: "off" },
      {},
      { levels: 2, lease: "1s", maxAttempts: 7, deadLetter: dead, notify: "transaction" },
    ] as const) {
      const before = await admin.getQueue(name)
      expect(await admin.updateQueue(name, patch)).toEqual({ ...before, ...patch })
      expect(await admin.getQueue(name)).toEqual({ ...before, ...patch })
    }
  })

  test("of an unknown queue or an unknown dead-letter queue names it and changes nothing", async () => {
    expect(await errorOf(admin.updateQueue("unknown", { levels: 2 }))).toMatchObject({
      code: "queue_not_found",
      queue: "unknown",
    })
    const name = await freshQueue()
    expect(await errorOf(admin.updateQueue(name, { levels: 2, deadLetter: "nope" }))).toMatchObject({ queue: "nope" })
    expect(await admin.getQueue(name)).toMatchObject({ levels: 4, deadLetter: null })
  })

  test("to fewer levels moves the messages of removed levels to the last one", async () => {
    const name = await freshQueue()
    const queue = client.queue(name)
    const ids = await queue.sendBatch([3, 2, 1, 0].map((priority) => ({ payload: priority, priority })))
    await queue.send("delayed", { priority: 3, delay: "1h" })
    await admin.updateQueue(name, { levels: 2 })
    const { items } = await admin.messages.list({ queue: name })
    expect(items.map(({ priority }) => priority)).toEqual([1, 1, 1, 0, 1])
    expect((await queue.readBatch({ limit: 10 })).map(({ payload }) => payload)).toEqual([0, 3, 2, 1])
    expect(ids).toHaveLength(4)
    expect(await errorOf(queue.send(1, { priority: 2 }))).toMatchObject({ code: "invalid_option", field: "priority" })
  })

  test.each(["read", "pop"] as const)(
    "to fewer levels strands no message that was being sent at a removed one (%s)",
    async (way) => {
      const name = await freshQueue()
      const queue = client.queue(name)
      const id = await inTransaction(pool, async (tx) => {
        const sent = await queue.send("late", { priority: 3, tx })
        await admin.updateQueue(name, { levels: 2 })
        return sent
      })
      expect(await queue[way]()).toMatchObject({ id, payload: "late" })
    },
  )
})

describe("a cycle of dead-letter queues", () => {
  test("is refused and shown, whatever its length, at creation and at update", async () => {
    const [a, b, c] = [await freshQueue(), await freshQueue(), await freshQueue()]
    await admin.updateQueue(a, { deadLetter: b })
    await admin.updateQueue(b, { deadLetter: c })
    const error = await errorOf<DeadLetterCycleError>(admin.updateQueue(c, { deadLetter: a }))
    expect(error).toBeInstanceOf(DeadLetterCycleError)
    expect(error).toMatchObject({ code: "dead_letter_cycle", queue: c, path: [c, a, b, c] })
    expect(await admin.getQueue(c)).toMatchObject({ deadLetter: null })
    expect(await errorOf(admin.updateQueue(a, { deadLetter: a }))).toMatchObject({
      code: "invalid_option",
      field: "deadLetter",
    })
  })

  test("is not closed by two updates at once", async () => {
    const [a, b] = [await freshQueue(), await freshQueue()]
    const { closing } = await inTransaction(pool, async (tx) => {
      await admin.updateQueue(a, { deadLetter: b }, { tx })
      const running = outcomes([admin.updateQueue(b, { deadLetter: a })])
      await Promise.race([running, sleep(300)]) // it waits for this transaction, or has not seen it
      return { closing: running } // not awaited here: it may wait for the commit
    })
    expect(await closing).toMatchObject([{ code: "dead_letter_cycle", path: [b, a, b] }])
    expect(await admin.getQueue(b)).toMatchObject({ deadLetter: null })
  })

  test("cannot be seen by an old snapshot, which is refused with the transaction still usable", async () => {
    const [a, b] = [await freshQueue(), await freshQueue()]
    const begin = "begin isolation level repeatable read"
    const work = async (tx: PoolClient): Promise<void> => {
      expect(await errorOf(admin.updateQueue(a, { deadLetter: b }, { tx }))).toBeInstanceOf(IsolationLevelError)
      expect(await errorOf(admin.createQueue("c", { deadLetter: b, tx }))).toBeInstanceOf(IsolationLevelError)
      await admin.updateQueue(a, { levels: 2, deadLetter: null }, { tx })
    }
    await inTransaction(pool, work, { begin })
    expect(await admin.getQueue(a)).toMatchObject({ levels: 2, deadLetter: null })
    expect(await errorOf(admin.getQueue("c"))).toBeInstanceOf(QueueNotFoundError)
  })
})

describe("listQueues", () => {
  test("lists all, in order of name by bytes", async () => {
    const names = (await admin.listQueues()).map(({ name }) => name)
    expect(names).toEqual([...names].sort((x, y) => (x < y ? -1 : 1)))
    expect(names).toContain("myq")
    expect(names).not.toContain("MyQ")
  })
})

function withoutCreated<T extends { created: boolean }>({ created: _created, ...info }: T): Omit<T, "created"> {
  return info
}
