import { setTimeout as sleep } from "node:timers/promises"
import type { QueueOptions } from "@sluice/core"
import type { PoolClient } from "pg"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { churn, floorOf, pinHorizon } from "./helpers/churn.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
const maintenance = client.maintenance({ flipAfter: 1_000_000_000 })

let unpin: () => Promise<void>
beforeAll(async () => {
  await pool.query("alter table sluice.message_0 set (autovacuum_enabled = false)")
  unpin = await pinHorizon(pool)
})
afterAll(() => unpin())
beforeEach(() => moveClock(pool, "0"))

/** Sweeps until the floor is as high as it gets: each sweep lifts it to the time of the one before. */
async function sweepUp(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await sleep(110)
    await maintenance.run()
  }
}

/** What a reader gets within some seconds: a look below a floor is taken a twentieth of the time at most. */
async function collect(name: string, count: number): Promise<unknown[]> {
  const got: unknown[] = []
  for (let i = 0; i < 100 && got.length < count; i++) {
    got.push(...(await client.queue(name).readBatch({ limit: count })).map(({ payload }) => payload))
    if (got.length < count) await sleep(50)
  }
  return got
}

/** A queue whose floor is as high as it gets: dead rows below it, nothing else. */
async function floored(options?: QueueOptions): Promise<string> {
  const name = await freshQueue(options)
  await churn(client, name, 2000)
  await sweepUp()
  expect(await floorOf(pool, name)).not.toBeNull()
  return name
}

describe("a floor", () => {
  test("is set by reads alone where dead rows cost them, and by no read that they do not", async () => {
    const quiet = await freshQueue()
    await churn(client, quiet, 10, 10)
    expect(await client.queue(quiet).read()).toBeNull()
    expect(await floorOf(pool, quiet)).toBeNull()
    const busy = await freshQueue()
    await churn(client, busy, 3000)
    expect(await client.queue(busy).read()).toBeNull()
    expect(await floorOf(pool, busy)).not.toBeNull()
  })

  test("follows the clock while nothing is there, and never passes a message that can be had", async () => {
    const name = await floored()
    const id = await client.queue(name).send("waits")
    const { enqueuedAt } = (await client.admin.messages.get(id))!
    await moveClock(pool, "1 minute")
    await sweepUp()
    expect((await floorOf(pool, name))!.getTime()).toBeLessThanOrEqual(enqueuedAt.getTime())
    expect(await client.queue(name).read()).toMatchObject({ id })
  })

  test("passes a message that somebody holds in an open transaction, which is found when he rolls back", async () => {
    const name = await floored()
    const id = await client.queue(name).send("held")
    await inTransaction(
      pool,
      async (tx) => {
        expect(await client.queue(name).read({ tx })).toMatchObject({ id })
        await moveClock(pool, "1 minute")
        await sweepUp()
        expect((await floorOf(pool, name))!.getTime()).toBeGreaterThan(Date.now() + 30_000)
      },
      { end: "rollback" },
    )
    expect(await collect(name, 1)).toEqual(["held"])
    expect(await client.admin.messages.get(id)).toMatchObject({ attempt: 1 })
  })

  test.each([{ storage: "dedicated" }, { partition: { by: "id", interval: 100_000, retention: 100_000 } }] as const)(
    "of a storage of one's own, %o, goes by what is in its own tables",
    async (options) => {
      const name = await floored(options)
      const [first] = await client.queue(name).sendBatch([{ payload: 1 }, { payload: 2 }])
      const { enqueuedAt } = (await client.admin.messages.get(first!))!
      await moveClock(pool, "5 seconds")
      await sweepUp()
      const floor = await floorOf(pool, name)
      expect(floor).not.toBeNull()
      expect(floor!.getTime()).toBeLessThanOrEqual(enqueuedAt.getTime())
      await inTransaction(pool, async (tx) => expect(await client.queue(name).read({ tx })).toMatchObject({ id: first }))
    },
  )

  test("does not pass messages whose reader died: that they were claimed is no trace of another", async () => {
    const name = await floored()
    await client.queue(name).sendBatch([{ payload: 1 }, { payload: 2 }])
    const [held] = await client.queue(name).readBatch({ limit: 2, lease: "1s" })
    await moveClock(pool, "10 seconds")
    await sweepUp()
    expect((await floorOf(pool, name))!.getTime()).toBeLessThanOrEqual(held!.visibleAt!.getTime())
    expect((await maintenance.run()).found).toBe(0)
  })

  test("goes when the dead rows do", async () => {
    const name = await floored()
    await pool.query(`delete from sluice.message where queue = (select id from sluice.queue where name = $1)`, [name])
    await unpin()
    await pool.query("vacuum sluice.message_0")
    await sweepUp()
    expect(await floorOf(pool, name)).toBeNull()
    unpin = await pinHorizon(pool)
  })

  test("is none of a caller's transaction's business: a joined read neither sweeps nor writes", async () => {
    const name = await floored()
    const versions = async () => (await pool.query("select max(version)::text as newest, count(*) from sluice.floor")).rows
    const before = await versions()
    await inTransaction(pool, async (tx) => expect(await client.queue(name).read({ tx })).toBeNull())
    expect(await versions()).toEqual(before)
  })
})

describe.each([
  ["a send", (name: string, tx: PoolClient): Promise<unknown> => client.queue(name).send("late", { tx })],
  ["a batch", (name: string, tx: PoolClient): Promise<unknown> => client.queue(name).sendBatch([{ payload: "late" }], { tx })],
])("below the floor, %s", (_, send) => {
  test("that committed seconds late is found", async () => {
    const name = await floored()
    const queue = client.queue(name)
    await inTransaction(pool, async (tx) => {
      await send(name, tx)
      await sleep(2000)
      await churn(client, name, 500)
      await sweepUp()
      expect(await queue.read()).toBeNull()
    })
    const { vt } = (await pool.query("select vt from sluice.message m join sluice.queue q on q.id = m.queue where q.name = $1", [name])).rows[0]
    expect(vt.getTime()).toBeLessThan((await floorOf(pool, name))!.getTime())
    expect(await collect(name, 1)).toEqual(["late"])
  })

  test("is found by maintenance too, for readers that never sweep", async () => {
    const name = await floored()
    await inTransaction(pool, async (tx) => {
      await send(name, tx)
      await moveClock(pool, "5 seconds")
      await sweepUp()
    })
    const read = async () => (await pool.query("select payload from sluice.read($1)", [name])).rows
    expect(await read()).toEqual([])
    let found = 0
    for (let i = 0; i < 100 && found === 0; i++) {
      await sleep(50)
      found = (await maintenance.run()).found
    }
    expect(found).toBe(1)
    expect(await read()).toEqual([{ payload: "late" }])
  })

  test("is seen by any reader once nobody has attended the floor for 10 seconds", async () => {
    const name = await floored()
    await inTransaction(pool, async (tx) => {
      await send(name, tx)
      await moveClock(pool, "5 seconds")
      await sweepUp()
    })
    await moveClock(pool, "20 seconds")
    expect((await pool.query("select payload from sluice.read($1)", [name])).rows).toEqual([{ payload: "late" }])
  })
})

test("a savepoint that is rolled back and an abort bring their messages back from below the floor", async () => {
  const name = await floored()
  const queue = client.queue(name)
  await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
  await inTransaction(
    pool,
    async (tx) => {
      await tx.query("savepoint one")
      expect(await queue.readBatch({ limit: 2, tx })).toHaveLength(2)
      await tx.query("rollback to savepoint one")
      expect(await queue.pop({ tx })).toMatchObject({ payload: 1 })
      await moveClock(pool, "1 minute")
      await sweepUp()
    },
    { end: "rollback" },
  )
  expect(new Set(await collect(name, 2))).toEqual(new Set([1, 2]))
})

test("a lease that ran out below a floor is found, and may still settle", async () => {
  const name = await floored()
  const queue = client.queue(name)
  await queue.send("expires")
  const message = (await queue.read({ lease: "1s" }))!
  await moveClock(pool, "1 hour")
  await sweepUp()
  await queue.extend(message, "1s")
  await moveClock(pool, "2 hours")
  expect(await queue.read()).toMatchObject({ id: message.id, attempt: 2 })
})

describe("a clock that is put back", () => {
  test.each(["1 hour", "3 days"])("by %s hides nothing: not what is sent then, nor what was ready before", async (step) => {
    const name = await floored()
    const queue = client.queue(name)
    await queue.send("before")
    await moveClock(pool, `-${step}`)
    await queue.send("after")
    expect(await collect(name, 1)).toEqual(["after"])
    expect(await queue.read()).toBeNull()
    await moveClock(pool, "0")
    expect(new Set(await collect(name, 2))).toEqual(new Set(["after", "before"]))
  })

  test("after it had been ahead for a while", async () => {
    const name = await floored()
    const queue = client.queue(name)
    await moveClock(pool, "1 hour")
    await churn(client, name, 500)
    await sweepUp()
    await moveClock(pool, "0")
    const id = await queue.send("now")
    expect(await queue.read()).toMatchObject({ id })
  })
})

test("two at once on one queue: one sweeps, nobody waits", async () => {
  const name = await floored()
  const sweep = "select sluice.sweep(q) from sluice.queue q where name = $1"
  await inTransaction(pool, async (tx) => {
    await tx.query(sweep, [name])
    await client.queue(name).send(1)
    expect(await client.queue(name).read()).toMatchObject({ payload: 1 })
    expect(await client.queue(name).read()).toBeNull()
    expect((await pool.query(sweep, [name])).rows).toEqual([{ sweep: 0 }])
  })
})
