import { createClient, QueueInUseError, QueueNotFoundError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction, openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { url, client, pool, freshQueue } = await harness()
const { admin } = client
beforeEach(() => moveClock(pool, "0"))

const counters = async (): Promise<number> =>
  (
    await pool.query(
      "select 1 from pg_class c join pg_namespace n on n.oid = relnamespace where nspname = 'sluice' and relname ~ '^sent_'",
    )
  ).rowCount!
const strays = async (): Promise<number> =>
  (
    await pool.query(
      "select 1 from sluice.message m join sluice.queue q on q.id = m.queue where q.dropped_at is not null",
    )
  ).rowCount!

/** Resolves once this many sessions of this database wait for a lock. */
async function waitingForLock(count: number): Promise<void> {
  const text = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
  while ((await pool.query(text)).rowCount !== count) await new Promise((resolve) => setTimeout(resolve, 20))
}

describe("dropQueue", () => {
  test("says whether there was one, and takes the queue and its messages (pgmq-sqlalchemy: drop non-existing queue)", async () => {
    const name = await freshQueue()
    await client.queue(name).sendBatch([{ payload: 1 }, { payload: 2, delay: "1h" }])
    expect(await admin.dropQueue(name)).toBe(true)
    expect(await admin.dropQueue(name)).toBe(false)
    expect(await admin.dropQueue("never.was")).toBe(false)
    expect(await strays()).toBe(0)
    expect((await admin.listQueues()).map((queue) => queue.name)).not.toContain(name)
    expect(await errorOf(client.queue(name).send(1))).toBeInstanceOf(QueueNotFoundError)
    expect(await errorOf(client.queue(name).read())).toBeInstanceOf(QueueNotFoundError)
  })

  test("is refused while leases are live, and not once they are settled or run out", async () => {
    const name = await freshQueue()
    const queue = client.queue(name)
    await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
    const [first] = await queue.readBatch({ limit: 2, lease: "30s" })
    const error = await errorOf<QueueInUseError>(admin.dropQueue(name))
    expect(error).toBeInstanceOf(QueueInUseError)
    expect(error).toMatchObject({ code: "queue_in_use", queue: name, inFlight: 2, deadLetterOf: [] })
    await queue.delete(first!)
    expect(await errorOf(admin.dropQueue(name))).toMatchObject({ inFlight: 1 })
    expect(await admin.metrics(name)).toMatchObject({ length: 1 })
    await moveClock(pool, "31 seconds")
    expect(await admin.dropQueue(name)).toBe(true)
  })

  test("by force takes leased messages too, and their holders are told", async () => {
    const name = await freshQueue()
    const queue = client.queue(name)
    await queue.send(1)
    const message = (await queue.read())!
    expect(await admin.dropQueue(name, { force: true })).toBe(true)
    expect(await errorOf(queue.delete(message))).toBeInstanceOf(QueueNotFoundError)
    await admin.createQueue(name)
    expect(await errorOf(queue.delete(message))).toMatchObject({ code: "stale_lease" })
  })

  test("is refused while others bury their dead here, and by force ends that", async () => {
    const dead = await freshQueue()
    const users = [await freshQueue({ deadLetter: dead }), await freshQueue({ deadLetter: dead })].sort()
    expect(await errorOf(admin.dropQueue(dead))).toMatchObject({
      code: "queue_in_use",
      inFlight: 0,
      deadLetterOf: users,
    })
    expect(await admin.dropQueue(users[0]!)).toBe(true)
    expect(await errorOf(admin.dropQueue(dead))).toMatchObject({ deadLetterOf: [users[1]] })
    expect(await admin.dropQueue(dead, { force: true })).toBe(true)
    expect(await admin.getQueue(users[1]!)).toMatchObject({ deadLetter: null })
    expect(await admin.createQueue(users[0]!, { deadLetter: null })).toMatchObject({ created: true, deadLetter: null })
  })

  test("takes the archive along, or leaves it to be looked up under the name", async () => {
    for (const keepArchive of [false, true]) {
      const name = await freshQueue()
      const id = await client.queue(name).send({ keepArchive })
      await client.queue(name).archive((await client.queue(name).read())!)
      expect(await admin.dropQueue(name, { keepArchive })).toBe(true)
      expect(await admin.archive.count({ queue: name })).toBe(keepArchive ? 1 : 0)
      expect(await admin.archive.get(id)).toEqual(
        keepArchive ? expect.objectContaining({ id, queue: name, payload: { keepArchive } }) : null,
      )
    }
  })

  test("and createQueue make an empty queue of other identity: nothing of the old one is left", async () => {
    const name = await freshQueue({ levels: 16, lease: "5m" })
    const { id } = await admin.getQueue(name)
    await client.queue(name).send("old", { priority: 15 })
    await admin.dropQueue(name)
    const made = await admin.createQueue(name)
    expect(made).toMatchObject({ created: true, levels: 4, lease: "30s" })
    expect(made.id).not.toBe(id)
    expect(await client.queue(name).readBatch({ limit: 10 })).toEqual([])
    expect(await admin.metrics(name)).toMatchObject({ length: 0, total: 0 })
  })

  test("in a transaction that rolls back has not happened", async () => {
    const name = await freshQueue()
    await client.queue(name).send(1)
    await inTransaction(pool, (tx) => admin.dropQueue(name, { tx }), { end: "rollback" })
    expect(await admin.metrics(name)).toMatchObject({ length: 1, total: 1 })
    await client.queue(name).send(2)
  })
})

describe("a sender whose transaction is open while its queue is dropped", () => {
  test.each(["read committed", "repeatable read"])(
    "commits without an error of the server, also much later (%s)",
    async (level) => {
      const name = await freshQueue()
      const queue = client.queue(name)
      await inTransaction(
        pool,
        async (tx) => {
          await queue.send("before", { tx })
          expect(await admin.dropQueue(name)).toBe(true)
          // Long enough for the queue's counter to be cleaned up by the next drop.
          await moveClock(pool, "10 minutes")
          await admin.dropQueue(await freshQueue())
          if (level === "repeatable read") await queue.send("after", { tx })
          else expect(await errorOf(queue.send("after", { tx }))).toBeInstanceOf(QueueNotFoundError)
          await tx.query("select 1")
        },
        { begin: `begin isolation level ${level}` },
      )
      await admin.createQueue(name)
      expect(await client.queue(name).readBatch({ limit: 10 })).toEqual([])
    },
  )

  test("under an old snapshot sends on when the counter is gone", async () => {
    const name = await freshQueue()
    await inTransaction(
      pool,
      async (tx) => {
        await tx.query("select count(*) from sluice.queue") // takes the snapshot
        await admin.dropQueue(name)
        await moveClock(pool, "10 minutes")
        await admin.dropQueue(await freshQueue())
        expect(await client.queue(name).send("after", { tx })).toMatch(/^\d+$/)
      },
      { begin: "begin isolation level repeatable read" },
    )
  })

  test("leaves a stray message that no name leads to and the next drop removes, and its id is not given again", async () => {
    const name = await freshQueue()
    const id = await inTransaction(pool, async (tx) => {
      const sent = await client.queue(name).send("stray", { tx })
      await admin.dropQueue(name)
      return sent
    })
    expect(await admin.messages.get(id)).toBeNull()
    expect(await strays()).toBe(1)
    await admin.createQueue(name)
    expect(BigInt(await client.queue(name).send("new"))).toBeGreaterThan(BigInt(id))
    expect(await client.queue(name).readBatch({ limit: 10 })).toMatchObject([{ payload: "new" }])
    await admin.dropQueue(name, { force: true })
    expect(await strays()).toBe(0)
  })

  test("does not make the drop wait, nor do 20 of them", async () => {
    const name = await freshQueue()
    const own = openPool(url, 20)
    const open = await Promise.all(Array.from({ length: 20 }, () => own.connect()))
    for (const tx of open) {
      await tx.query("begin")
      await client.queue(name).send(1, { tx })
    }
    expect(await admin.dropQueue(name)).toBe(true)
    for (const tx of open) {
      expect((await tx.query("commit")).command).toBe("COMMIT")
      tx.release()
    }
    await own.end()
  })
})

describe("a reader whose transaction is open while its queue is dropped", () => {
  test("keeps the lease it took: the drop waits for it and is refused", async () => {
    const name = await freshQueue()
    await client.queue(name).send(1)
    let dropping: Promise<unknown> | undefined
    const message = await inTransaction(pool, async (tx) => {
      const read = await client.queue(name).read({ tx })
      dropping = errorOf(admin.dropQueue(name))
      await waitingForLock(1)
      return read
    })
    expect(await dropping).toMatchObject({ code: "queue_in_use", inFlight: 1 })
    await client.queue(name).archive(message!)
    expect(await admin.dropQueue(name)).toBe(true)
  })

  test("and that settles in it makes way for the drop", async () => {
    const name = await freshQueue()
    await client.queue(name).send(1)
    let dropping: Promise<boolean> | undefined
    await inTransaction(pool, async (tx) => {
      const read = await client.queue(name).read({ tx })
      dropping = admin.dropQueue(name)
      await waitingForLock(1)
      await client.queue(name).delete(read!, { tx })
    })
    expect(await dropping).toBe(true)
  })
})

describe("the counters of dropped queues", () => {
  test("go with a drop a minute later, unless an open transaction still uses them", async () => {
    const before = await counters()
    const [idle, busy] = [await freshQueue(), await freshQueue()]
    await admin.dropQueue(idle)
    expect(await counters()).toBe(before + 2)
    await inTransaction(pool, async (tx) => {
      await client.queue(busy).send(1, { tx })
      await admin.dropQueue(busy)
      await moveClock(pool, "2 minutes")
      await admin.dropQueue(await freshQueue())
      // The busy one's, and that of the queue just dropped.
      expect(await counters()).toBeLessThanOrEqual(before + 2)
      expect((await tx.query("select 1 as fine")).rows).toEqual([{ fine: 1 }])
    })
    await moveClock(pool, "4 minutes")
    await admin.dropQueue(await freshQueue())
    expect(await counters()).toBeLessThanOrEqual(before + 1)
  })
})

describe("two drops at once", () => {
  test("do not stumble over a counter that both clean up", async () => {
    const own = openPool(url, 8)
    const { admin: racing } = createClient(pgDriver(own), { listen: false })
    for (let round = 1; round <= 10; round++) {
      const names = await Promise.all(Array.from({ length: 8 }, () => freshQueue()))
      await moveClock(pool, `${round * 10} minutes`)
      expect(await Promise.all(names.map((name) => racing.dropQueue(name)))).toEqual(names.map(() => true))
    }
    await own.end()
  })
})

describe("metrics while queues come and go", () => {
  test("metricsAll and listQueues never fail, and metrics knows the queue or throws QueueNotFoundError (pgmq raises)", async () => {
    const own = openPool(url, 6)
    const other = createClient(pgDriver(own), { listen: false, notify: false })
    let over = false
    const churn = [1, 2, 3].map(async (n) => {
      for (let round = 0; round < 30; round++) {
        await other.admin.createQueue(`churn.${n}`)
        await other.queue(`churn.${n}`).send(round)
        await other.admin.dropQueue(`churn.${n}`)
      }
    })
    const watch = async (): Promise<number> => {
      let looks = 0
      for (; !over; looks++) {
        const all = await other.admin.metricsAll()
        expect(all.every(({ length, total }) => length >= 0 && total >= 0)).toBe(true)
        await other.admin.listQueues()
        const one = await other.admin.metrics("churn.1").catch((error: unknown) => error)
        if (one instanceof Error) expect(one).toBeInstanceOf(QueueNotFoundError)
      }
      return looks
    }
    const watching = watch()
    await Promise.all([Promise.all(churn).finally(() => (over = true)), watching])
    expect(await watching).toBeGreaterThan(0)
    await own.end()
  })
})
