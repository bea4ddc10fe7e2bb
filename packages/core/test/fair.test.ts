import type { QueueOptions } from "@sluice/core"
import { expect, test } from "vitest"
import { callPages, claimCall } from "./helpers/claim-pages.ts"
import { harness } from "./helpers/harness.ts"
import { withBroken } from "./helpers/with-broken.ts"

const { client, pool, freshQueue } = await harness()

/** Sent as by a batch, only sooner. */
const insert = (queue: string, group: string, count: number) =>
  pool.query(
    `insert into sluice.message (segment, queue, priority, vt, enqueued_at, payload, grp, group_name)
     select s.current, q.id, 1, now() - interval '1 minute' + n * interval '1 microsecond', now(), to_jsonb($2::text), sluice.group_of(0, $2), $2
       from sluice.queue q, generate_series(1, $3::int) n, lateral (select current from sluice.segment where storage = 0 order by generation desc limit 1) s where q.name = $1`,
    [queue, group, count],
  )

/** Pages of a claim of one message, which is of this group. */
async function pagesUntil(queue: string, group: string | null): Promise<number> {
  const tx = await pool.connect()
  try {
    for (let i = 0; ; i++) {
      await tx.query("begin")
      const { pages, rows } = await callPages(tx, claimCall("pop", queue, 1))
      const { rows: [left] } = await tx.query("select count(*)::int as n from sluice.message m join sluice.queue q on q.id = m.queue where q.name = $1 and m.group_name = 'B'", [queue])
      await tx.query("rollback")
      if (i > 4 && (group === null ? rows === 0 : left.n === 0)) return pages
      if (i > 40) throw new Error("the claim never reached the group")
    }
  } finally {
    tx.release()
  }
}

async function behindCrowd(options: QueueOptions): Promise<{ empty: number; behind: number; queue: string }> {
  const empty = await pagesUntil(await freshQueue(options), null)
  const queue = await freshQueue(options)
  await insert(queue, "A", 100_000)
  await insert(queue, "B", 1)
  await pool.query("vacuum analyze sluice.message")
  return { empty, behind: await pagesUntil(queue, "B"), queue }
}

test.each<[string, QueueOptions]>([
  ["fair", { fair: true }],
  ["fifo", { fifo: true }],
  ["limited by group", { groupConcurrency: 2, groupRateLimit: { limit: 1000, per: "1s" } }],
  ["limited", { concurrency: 2, rateLimit: { limit: 1000, per: "1s" } }],
])("a claim that reaches a group behind 100,000 ready messages of another looks at no more than three times the pages of an empty queue's: %s", async (what, options) => {
  const { empty, behind, queue } = await behindCrowd(options)
  console.log(`${what}: empty ${empty}, behind a crowd ${behind} pages`)
  expect(behind).toBeLessThanOrEqual(3 * empty)
  await withBroken(pool, "next_group", "m.grp > p_after", "m.grp + 0 > p_after", async () => {
    expect(await pagesUntil(queue, "B")).toBeGreaterThan(3 * empty)
  })
})

test("groups of very different backlog get equal shares, one by one and in batches", async () => {
  for (const limit of [1, 3, 10, 100]) {
    const queue = await freshQueue({ fair: true })
    await insert(queue, "A", 20_000)
    await insert(queue, "B", 1000)
    await insert(queue, "C", 400)
    const served: Record<string, number> = { A: 0, B: 0, C: 0 }
    for (let n = 0; n < 900; n += limit) for (const { payload } of await client.queue<string>(queue).popBatch({ limit })) served[payload]!++
    for (const group of ["A", "B", "C"]) expect(Math.abs(served[group]! - 300), `${group} with batches of ${limit}`).toBeLessThanOrEqual(Math.max(1, limit / 2))
  }
})

test("one group alone, or none, fills a batch, in order", async () => {
  const queue = client.queue<number>(await freshQueue({ fair: true }))
  await queue.sendBatch(Array.from({ length: 3000 }, (_, payload) => ({ payload })))
  expect((await queue.readBatch({ limit: 2500 })).map(({ payload }) => payload)).toEqual(Array.from({ length: 2500 }, (_, n) => n))
})

test("filters pass groups that have nothing to offer", async () => {
  const queue = client.queue<{ n: number }>(await freshQueue({ fair: true }))
  await queue.sendBatch(Array.from({ length: 50 }, (_, n) => ({ payload: { n }, group: `group ${n}` })))
  expect((await queue.read({ filter: { payload: { n: 42 } } }))?.payload).toEqual({ n: 42 })
})

test("an idle group costs nothing: pages of a claim after 10,000 groups came and went", async () => {
  const queue = await freshQueue({ fair: true })
  const before = await pagesUntil(queue, null)
  await client.queue(queue).sendBatch(Array.from({ length: 10_000 }, (_, n) => ({ payload: n, group: `group ${n}` })))
  await client.queue(queue).purge()
  await pool.query("vacuum sluice.message")
  expect(await pagesUntil(queue, null)).toBeLessThanOrEqual(before + 4)
})
