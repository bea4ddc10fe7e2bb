import { beforeEach, describe, expect, test } from "vitest"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
beforeEach(() => moveClock(pool, "0"))

/** A queue with `count` messages that are at their limit of attempts, and one behind them that is not. */
async function crowd(count: number): Promise<string> {
  const name = await freshQueue({ maxAttempts: 1 })
  await pool.query(
    `insert into sluice.message (segment, queue, priority, attempt, vt, enqueued_at, payload)
     select 0, q.id, 1, 1, sluice.clock(), sluice.clock(), to_jsonb(n)
       from sluice.queue q, generate_series(1, $2::int) n where q.name = $1`,
    [name, count],
  )
  await client.queue(name).send("alive")
  return name
}

/** Pages that a claim of one message looks at. */
async function pages(way: "read" | "pop", name: string): Promise<number> {
  const { rows } = await pool.query(
    `explain (analyze, buffers, format json) select * from sluice.try_${way}($1, 1${way === "read" ? ", null" : ""}, false, null)`,
    [name],
  )
  const { Plan: plan } = rows[0]["QUERY PLAN"][0]
  return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
}

describe.each(["read", "pop"] as const)("a crowd of dead messages met by %s", (way) => {
  test("is buried by work that grows with the crowd, not with its square", async () => {
    const few = await pages(way, await crowd(500))
    const many = await pages(way, await crowd(4000))
    expect(many / few).toBeLessThan(11)
  })

  test("ends a claim after 10,000, and the next one goes on", async () => {
    const name = await crowd(15_000)
    expect(await client.queue(name)[way]()).toBeNull()
    const buried = await client.admin.archive.count({ queue: name, outcome: "dead" })
    expect(buried).toBeGreaterThanOrEqual(10_000)
    expect(buried).toBeLessThan(15_000)
    expect(await client.queue(name)[way]()).toMatchObject({ payload: "alive" })
    expect(await client.admin.archive.count({ queue: name, outcome: "dead" })).toBe(15_000)
  })

  test("leaves what is alive free for other readers while the transaction is open", async () => {
    const name = await freshQueue({ maxAttempts: 1 })
    const queue = client.queue(name)
    await queue.send("dead", { priority: 0 })
    await queue.release((await queue.read())!)
    await queue.sendBatch([1, 2, 3].map((payload) => ({ payload })))
    const tx = await pool.connect()
    await tx.query("begin")
    expect(await queue[way]({ tx })).toMatchObject({ payload: 1 })
    expect((await queue.readBatch({ limit: 10 })).map(({ payload }) => payload)).toEqual([2, 3])
    await tx.query("rollback")
    tx.release()
  })
})
