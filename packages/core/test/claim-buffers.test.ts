import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { claimPages, claimWays, type ClaimWay } from "./helpers/claim-pages.ts"
import { pinHorizon } from "./helpers/churn.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { insertMany, type LeafQueue, processMany, sendMany, type StorageKind, unvacuumedQueue } from "./helpers/leaves.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { withBroken } from "./helpers/with-broken.ts"

type Pages = Record<ClaimWay, number>

const database = await harness()
const { client, pool } = database
const maintenance = client.maintenance({ flipPause: 0 })

let seconds = 0
/** Time passes without waiting: a floor follows the time of the sweep before. */
const later = (): Promise<void> => moveClock(pool, `${++seconds} seconds`)

async function maintain() {
  await later()
  return maintenance.run()
}

async function pagesOf(queue: LeafQueue): Promise<Pages> {
  return { read: await claimPages(pool, "read", queue.name), pop: await claimPages(pool, "pop", queue.name) }
}

function expectFlat(what: string, before: Pages, after: Pages): void {
  console.log(`${what}: read ${before.read} -> ${after.read}, pop ${before.pop} -> ${after.pop} pages`)
  for (const way of claimWays) expect(after[way], way).toBeLessThanOrEqual(2 * before[way])
}

async function leafPages({ leaves }: LeafQueue): Promise<number> {
  const { rows } = await pool.query("select ((pg_relation_size($1) + pg_relation_size($2)) / 8192)::int as pages", [...leaves])
  return rows[0].pages
}

/** Two generations of segments are one flip. */
async function generation({ name }: LeafQueue): Promise<number> {
  const { rows } = await pool.query("select max(generation)::int as n from sluice.segment join sluice.queue q using (storage) where q.name = $1", [name])
  return rows[0].n
}

const FLOOR = /coalesce\(\(select case when f\.swept_at.*?'-infinity'\)/gs

describe.each<StorageKind>(["shared", "dedicated"])("in a %s storage, after 50,000 messages under a pinned horizon, a claim of 10 looks at no more than twice the pages", (storage) => {
  let fresh: Pages
  let queue: LeafQueue
  let unpin: () => Promise<void>

  beforeAll(async () => {
    const first = await unvacuumedQueue(database, storage)
    await sendMany(pool, first.name, 1000)
    fresh = await pagesOf(first)
  })

  beforeEach(async () => {
    queue = await unvacuumedQueue(database, storage)
    unpin = await pinHorizon(pool)
  })

  afterEach(async () => {
    await unpin()
    await client.admin.dropQueue(queue.name, { force: true })
  })

  test("with maintenance, which flips once for every 20,000 dead rows", async () => {
    await maintain() // what the tests before left in a leaf that they share
    const before = await generation(queue)
    await processMany(pool, queue.name, 50_000, maintain)
    // A read and a delete leave two dead rows, 10,000 a round: more than 20,000 in each third one.
    expect(await generation(queue)).toBe(before + 2 * 3)
    expect(await leafPages(queue)).toBeLessThan(300)
    await maintain() // a floor follows one sweep behind
    await sendMany(pool, queue.name, 1000)
    expectFlat(`${storage}, floor and flips`, fresh, await pagesOf(queue))
  })

  test("with maintenance whose flips are blocked, and not without the floor", async () => {
    const lock = `begin; lock table ${queue.leaves.join(", ")} in access share mode`
    await inTransaction(pool, async () => {
      let refused = 0
      await processMany(pool, queue.name, 50_000, async () => (refused += (await maintain()).refused))
      expect(refused).toBeGreaterThan(0)
      await maintain()
      expect(await leafPages(queue)).toBeGreaterThan(1000)
    }, { begin: lock })
    await sendMany(pool, queue.name, 1000)
    expectFlat(`${storage}, floor alone`, fresh, await pagesOf(queue))
    await withBroken(pool, `lock_ready${queue.suffix}`, FLOOR, "'-infinity'", async () => {
      expect((await pagesOf(queue)).read).toBeGreaterThan(5 * fresh.read)
    })
  })

  test("with reads alone, which sweep for themselves", async () => {
    const read = async () => {
      await later()
      return client.queue(queue.name).pop()
    }
    await processMany(pool, queue.name, 50_000, read)
    await sendMany(pool, queue.name, 1000)
    for (let i = 0; i < 2; i++) expect(await read()).not.toBeNull()
    expectFlat(`${storage}, reads alone`, fresh, await pagesOf(queue))
    await withBroken(pool, `lock_ready${queue.suffix}`, FLOOR, "'-infinity'", async () => {
      expect((await pagesOf(queue)).read).toBeGreaterThan(5 * fresh.read)
    })
  })
})

describe.each<StorageKind>(["shared", "dedicated"])("in a %s storage, a claim of 10 looks at no more than twice the pages", (storage) => {
  test("with 200,000 delayed messages in front", async () => {
    const queue = await unvacuumedQueue(database, storage)
    await sendMany(pool, queue.name, 1000)
    const fresh = await pagesOf(queue)
    await client.queue(queue.name).purge()
    for (const level of [0, 1]) await insertMany(pool, queue, 100_000, "1 hour", level)
    await sendMany(pool, queue.name, 1000)
    expectFlat(`${storage}, 200,000 delayed`, fresh, await pagesOf(queue))
  })

  test("with a backlog of 300,000 as with one of 10,000", async () => {
    const queue = await unvacuumedQueue(database, storage)
    await insertMany(pool, queue, 10_000, "-1 minute")
    const small = await pagesOf(queue)
    await insertMany(pool, queue, 290_000, "-50 seconds")
    expectFlat(`${storage}, backlog of 10,000 -> 300,000`, small, await pagesOf(queue))
  })
})
