import { createClient, type QueueOptions } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterEach, describe, expect, test } from "vitest"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
afterEach(() => moveClock(pool, "0"))
const fresh = async (options: QueueOptions) => client.queue<number>(await freshQueue({ backoff: null, ...options }))
const items = (count: number, group: string) => Array.from({ length: count }, (_, payload) => ({ payload, group }))

describe.each<[string, QueueOptions]>([["a queue", { rateLimit: { limit: 5, per: "10s" } }], ["a group", { groupRateLimit: { limit: 5, per: "10s" } }]])("the rate of %s", (_what, options) => {
  test("holds in any window, however the claims fall", async () => {
    const q = await fresh(options)
    await q.sendBatch(items(200, "g"))
    const start = Date.now()
    const delivered: number[] = []
    for (let ms = 0; ms < 40_000; ms += 700) {
      await pool.query(`create or replace function sluice.clock() returns timestamptz language sql volatile as $$ select to_timestamp(${(start + ms) / 1000}::float8) $$`)
      for (const _ of await q.readBatch({ limit: 3, lease: "1h" })) delivered.push(ms)
    }
    for (const from of delivered) expect(delivered.filter((at) => at >= from && at < from + 10_000).length).toBeLessThanOrEqual(5)
    expect(delivered.length).toBeGreaterThanOrEqual(18)
  })

  test("counts no claim that is rolled back", async () => {
    const q = await fresh(options)
    await q.sendBatch(items(20, "g"))
    await inTransaction(pool, (tx) => q.readBatch({ limit: 10, tx }), { end: "rollback" })
    expect(await q.readBatch({ limit: 10 })).toHaveLength(5)
    expect(await q.readBatch({ limit: 10 })).toHaveLength(0)
  })

  test("holds under 8 clients at once, in real time", async () => {
    const q = await fresh("rateLimit" in options ? { rateLimit: { limit: 10, per: "500ms" } } : { groupRateLimit: { limit: 10, per: "500ms" } })
    await q.sendBatch(items(500, "g"))
    const until = performance.now() + 2000
    await Promise.all(Array.from({ length: 8 }, async () => { while (performance.now() < until) await q.popBatch({ limit: 3 }) }))
    const { rows } = await pool.query("select count(*)::int as left from sluice.message m join sluice.queue q on q.id = m.queue where q.name = $1", [q.name])
    const delivered = 500 - rows[0].left
    expect(delivered).toBeGreaterThan(10)
    // Windows that begin within the time, and what the last claims took.
    expect(delivered).toBeLessThanOrEqual(10 * Math.ceil((performance.now() - until + 2000) / 500 + 1))
  })

  test("may be given another interval, longer or shorter, and what was used counts on", async () => {
    const q = await fresh(options)
    await q.sendBatch(items(50, "g"))
    expect(await q.readBatch({ limit: 10 })).toHaveLength(5)
    const change = (per: "1h" | "1s") => client.admin.updateQueue(q.name, "rateLimit" in options ? { rateLimit: { limit: 5, per } } : { groupRateLimit: { limit: 5, per } })
    await change("1s")
    await moveClock(pool, "3 seconds")
    expect(await q.readBatch({ limit: 10 })).toHaveLength(5)
    await change("1h")
    expect(await q.readBatch({ limit: 10 })).toHaveLength(0)
    await moveClock(pool, "62 minutes")
    expect(await q.readBatch({ limit: 10 })).toHaveLength(5)
  })

  test("leaves nothing behind of groups that are idle", async () => {
    const q = await fresh(options)
    for (let n = 0; n < 20; n++) await q.send(n, { group: `group ${n}` })
    await q.popBatch({ limit: 100 })
    await moveClock(pool, "1 minute")
    await client.maintenance().run()
    expect((await pool.query("select count(*)::int as n from sluice.rate_use u join sluice.queue q on q.id = u.queue where q.name = $1", [q.name])).rows[0].n).toBe(0)
  })
})

test("each group has its own rate, and messages without a group none", async () => {
  const q = await fresh({ groupRateLimit: { limit: 2, per: "1h" } })
  await q.sendBatch([...items(5, "a"), ...items(5, "b"), ...[1, 2, 3, 4].map((payload) => ({ payload }))])
  expect(await q.readBatch({ limit: 100 })).toHaveLength(8)
})

describe("sendRate", () => {
  test("refuses what is too fast, and says when to try again", async () => {
    const own = createClient(pgDriver(pool), { listen: false, notify: false })
    const q = own.queue<number>(await freshQueue(), { sendRate: { limit: 3, per: "1h" } })
    for (let n = 0; n < 3; n++) await q.send(n)
    const error = await q.send(4).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: "rate_limited", queue: q.name })
    expect((error as { retryAfter: number }).retryAfter).toBeGreaterThan(1_000_000)
    await expect(own.queue(q.name, { sendRate: { limit: 3, per: "1h" } }).send(1)).rejects.toMatchObject({ code: "rate_limited" })
    expect((await q.metrics()).length).toBe(3)
    await own.close()
  })

  test("pgqrs: a batch larger than the burst is always rejected", async () => {
    const own = createClient(pgDriver(pool), { listen: false, notify: false })
    const q = own.queue<number>(await freshQueue(), { sendRate: { limit: 3, per: "1h" } })
    expect(await q.sendBatch(Array.from({ length: 10 }, (_, payload) => ({ payload })))).toHaveLength(10)
    await expect(q.send(1)).rejects.toMatchObject({ code: "rate_limited" })
    await own.close()
  })
})
