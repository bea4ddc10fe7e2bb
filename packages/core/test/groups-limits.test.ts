import type { Queue, QueueOptions, Worker } from "@sluice/core"
import { afterEach, describe, expect, test } from "vitest"
import { startChild } from "./helpers/child.ts"
import { flipStep, flipUntil, makeFlipPay } from "./helpers/flip.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, url, freshQueue } = await harness()
afterEach(() => moveClock(pool, "0"))
const fresh = async (options: QueueOptions) => client.queue<number>(await freshQueue({ backoff: null, ...options }))
const payloads = (messages: readonly { payload: number }[]) => messages.map(({ payload }) => payload)

/** How many handlers run at once, at most, of the queue and of each group, under 8 workers of which each has its own connections. */
async function runWorkers(q: Queue<number>, groupOf: (n: number) => string, count: number, fail: (n: number, attempt: number) => boolean = () => false): Promise<{ most: number; mostOfGroup: number; order: number[] }> {
  const running = new Map<string, number>()
  let all = 0
  const seen = { most: 0, mostOfGroup: 0, order: [] as number[] }
  const workers: Worker[] = []
  const done = new Set<number>()
  for (let i = 0; i < 8; i++) {
    workers.push(
      await q.work(
        async ({ payload, attempt }) => {
          const group = groupOf(payload)
          running.set(group, (running.get(group) ?? 0) + 1)
          seen.most = Math.max(seen.most, ++all)
          seen.mostOfGroup = Math.max(seen.mostOfGroup, running.get(group)!)
          await new Promise((resolve) => setTimeout(resolve, Math.random() * 5))
          all--
          running.set(group, running.get(group)! - 1)
          if (fail(payload, attempt)) throw new Error("again")
          seen.order.push(payload)
          done.add(payload)
        },
        { pollInterval: "20ms", maintenance: i === 0 },
      ),
    )
  }
  await expect.poll(() => done.size, { timeout: 15_000 }).toBe(count)
  await Promise.all(workers.map((worker) => worker.stop()))
  return seen
}

const items = (count: number, group: (n: number) => string) => Array.from({ length: count }, (_, n) => ({ payload: n, group: group(n) }))

describe("strict order", () => {
  test("holds under 8 workers, with failures and backoff", async () => {
    const q = await fresh({ fifo: true, backoff: { kind: "fixed", base: "10ms" } })
    const group = (n: number) => `group ${n % 5}`
    await q.sendBatch(items(150, group))
    const { mostOfGroup, order } = await runWorkers(q, group, 150, (n, attempt) => n % 7 === 0 && attempt < 3)
    expect(mostOfGroup).toBe(1)
    for (let g = 0; g < 5; g++) expect(order.filter((n) => n % 5 === g)).toEqual(Array.from({ length: 30 }, (_, i) => i * 5 + g))
  })

  test("holds where the worker of the first is killed: the others wait for its lease", async () => {
    await client.admin.createQueue("held", { fifo: true, backoff: null })
    const q = client.queue<number>("held")
    await q.sendBatch(items(2, () => "g"))
    const child = startChild("hold-child.ts", url, "read")
    expect(await child.next()).toMatchObject({ payload: 0 })
    await child.kill()
    expect(await q.read()).toBeNull()
    await moveClock(pool, "61 minutes")
    expect(await q.read()).toMatchObject({ payload: 0, attempt: 2 })
    expect(await q.read()).toBeNull()
  })

  test("one of a group is held at a time, also where an earlier one comes late: a slow commit, a redrive", async () => {
    const q = await fresh({ fifo: true })
    await inTransaction(pool, async (tx) => {
      await q.send(1, { group: "g", tx })
      await q.send(2, { group: "g" })
      expect((await q.read())?.payload).toBe(2)
    })
    expect(await q.read()).toBeNull()
    await moveClock(pool, "31 seconds")
    const first = (await q.read())!
    expect(first.payload).toBe(1)
    await q.deadLetter(first)
    const second = (await q.read())!
    await client.admin.redrive(q.name)
    expect(await q.read()).toBeNull()
    await q.delete(second)
    expect((await q.read())?.payload).toBe(1)
  })

  test("a message that is delayed, parked or put off holds up its group, and no other", async () => {
    const q = await fresh({ fifo: true })
    const parent = await q.send(0, { delay: "1h" })
    await q.sendBatch([{ payload: 1, group: "delayed", delay: "1h" }, { payload: 2, group: "delayed" }, { payload: 3, group: "parked", after: [parent] }, { payload: 4, group: "parked" }, { payload: 5, group: "free" }, { payload: 6 }])
    expect(new Set(payloads(await q.readBatch({ limit: 10 })))).toEqual(new Set([5, 6]))
    await q.promote(parent)
    await q.delete((await q.read())!)
    expect(payloads(await q.readBatch({ limit: 10 }))).toEqual([3])
  })

  test("who would wait in a circle is refused", async () => {
    const q = await fresh({ fifo: true })
    const circle = [{ payload: 1, group: "g", after: [{ ref: "two" }] }, { payload: 2, group: "g", ref: "two" }]
    await expect(q.sendBatch(circle)).rejects.toMatchObject({ code: "invalid_option", field: "items[0].after" })
    expect((await q.metrics()).length).toBe(0)
  })

  test("a claim of many groups fits the server's table of locks", async () => {
    const q = await fresh({ fifo: true })
    await q.sendBatch(items(10_000, (n) => `group ${n}`))
    const held = await Promise.all([q.readBatch({ limit: 10_000 }), q.readBatch({ limit: 10_000 })])
    expect(held.flat().length).toBeGreaterThan(0)
    expect(new Set(held.flat().map(({ id }) => id)).size).toBe(held.flat().length)
  })

  test("holds for a claim that a flip overtakes", async () => {
    const q = await fresh({ fifo: true })
    await q.sendBatch(items(2, () => "g"))
    await makeFlipPay(pool, 500)
    expect((await q.read())?.payload).toBe(0)
    const stale = `select sluice.lock_grouped(q, '{0}', 1, now(), null) as ids from sluice.queue q where name = $1`
    const { rows } = await pool.query("select live from sluice.segment where storage = 0 order by generation desc limit 1")
    await flipStep(pool)
    await flipStep(pool)
    expect((await pool.query(stale.replace("'{0}'", `'{${rows[0].live}}'`), [q.name])).rows[0].ids).toEqual([])
    await flipUntil(pool, "truncated")
  })
})

describe("concurrency", () => {
  test("of a queue is never exceeded by 8 workers", async () => {
    const q = await fresh({ concurrency: 3 })
    await q.sendBatch(items(120, () => "g"))
    const { most } = await runWorkers(q, () => "g", 120, (n, attempt) => n % 10 === 0 && attempt < 2)
    expect(most).toBeGreaterThan(1)
    expect(most).toBeLessThanOrEqual(3)
  })

  test("of a group is never exceeded by 8 workers", async () => {
    const q = await fresh({ groupConcurrency: 2 })
    const group = (n: number) => `group ${n % 3}`
    await q.sendBatch(items(120, group))
    const { most, mostOfGroup } = await runWorkers(q, group, 120)
    expect(mostOfGroup).toBe(2)
    expect(most).toBeGreaterThan(2)
  })

  test.each<[string, QueueOptions]>([["a queue", { concurrency: 2 }], ["a group", { groupConcurrency: 2 }]])("of %s: who died gives his slots back when his leases end, and not before", async (_what, options) => {
    const q = await fresh(options)
    await q.sendBatch(items(5, () => "g"))
    expect(payloads(await q.readBatch({ limit: 10 }))).toEqual([0, 1])
    await moveClock(pool, "29 seconds")
    expect(await q.readBatch({ limit: 10 })).toEqual([])
    await moveClock(pool, "31 seconds")
    expect(await q.readBatch({ limit: 10 })).toHaveLength(2)
  })

  test.each<[string, QueueOptions]>([["a queue", { concurrency: 1 }], ["a group", { groupConcurrency: 1 }]])("of %s counts a transactional handler that outlives its lease", async (_what, options) => {
    const q = await fresh(options)
    await q.sendBatch(items(2, () => "g"))
    const message = (await q.read())!
    await inTransaction(pool, async (tx) => {
      await tx.query("select * from sluice.try_lock($1, array[$2::bigint], array[$3::bigint])", [q.name, message.id, message.lease])
      await moveClock(pool, "31 seconds")
      expect(await q.read()).toBeNull()
      await q.delete(message, { tx })
    })
    expect((await q.read())?.payload).toBe(1)
  })

  test("up to k of a group go in order of readiness, and priorities count within it", async () => {
    const q = await fresh({ groupConcurrency: 2 })
    await q.sendBatch([{ payload: 1, group: "g" }, { payload: 2, group: "g" }, { payload: 3, group: "g", priority: 0 }])
    expect(payloads(await q.readBatch({ limit: 10 }))).toEqual([3, 1])
  })

  test("a claim in a transaction of a caller's keeps nobody waiting, and its slots are free again when it rolls back", async () => {
    const q = await fresh({ concurrency: 2 })
    await q.sendBatch(items(4, () => "g"))
    await inTransaction(
      pool,
      async (tx) => {
        expect(await q.readBatch({ limit: 2, tx })).toHaveLength(2)
        expect(await q.readBatch({ limit: 10 })).toEqual([])
      },
      { end: "rollback" },
    )
    expect(payloads(await q.readBatch({ limit: 10 }))).toEqual([0, 1])
  })

  test("switched on for a queue that has messages and senders, and off again", async () => {
    const q = await fresh({})
    await q.send(0)
    await inTransaction(pool, async (tx) => {
      // As a sender leaves it who looked up the queue before.
      await tx.query("insert into sluice.message (segment, queue, priority, vt, enqueued_at, payload) select s.current, q.id, 1, now(), now(), '1' from sluice.queue q, lateral (select current from sluice.segment where storage = 0 order by generation desc limit 1) s where name = $1", [q.name])
      await client.admin.updateQueue(q.name, { concurrency: 1 })
    })
    const first = (await q.read())!
    expect(first.payload).toBe(0)
    expect(await q.read()).toBeNull()
    await q.delete(first)
    await client.maintenance().run()
    expect((await q.read())?.payload).toBe(1)
    await q.sendBatch([{ payload: 2, group: "a" }, { payload: 3, group: "a" }])
    await client.admin.updateQueue(q.name, { concurrency: null })
    expect(payloads(await q.readBatch({ limit: 10 }))).toEqual([2, 3])
  })

  test("switching it on waits for no handler's transaction", async () => {
    const q = await fresh({})
    await q.sendBatch([{ payload: 1 }, { payload: 2 }])
    const message = (await q.read())!
    await inTransaction(pool, async (tx) => {
      await tx.query("select * from sluice.try_lock($1, array[$2::bigint], array[$3::bigint])", [q.name, message.id, message.lease])
      await client.admin.updateQueue(q.name, { groupConcurrency: 1 })
      expect((await q.read())?.payload).toBe(2)
    })
    await q.release(message)
    await moveClock(pool, "20 seconds") // nobody maintains: the read looks for itself
    expect((await q.read())?.payload).toBe(1)
  })
})
