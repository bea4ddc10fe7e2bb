import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterAll, beforeEach, describe, expect, test } from "vitest"
import { pinHorizon } from "./helpers/churn.ts"
import { harness, openPool } from "./helpers/harness.ts"
import { segments } from "./helpers/segments.ts"
import { withBroken } from "./helpers/with-broken.ts"

const { client, pool, url } = await harness()
const { freshStream, publish, drain, later } = segments({ client, pool })
beforeEach(() => later(0))

const clear = async (most: number): Promise<number> => (await pool.query<{ count: number }>("select sluice.clear_batches($1) as count", [most])).rows[0]!.count
const countOf = async (table: string): Promise<number> => (await pool.query<{ count: number }>(`select count(*)::int as count from sluice.${table}`)).rows[0]!.count
/** A batch for each event. */
async function batches(name: string, count: number): Promise<void> {
  await publish(name, ...Array.from({ length: count }, String))
  expect(await drain(name, "reader", 1)).toHaveLength(count)
}
const member = (name: string) => client.stream(name).subscription("reader", { member: true }).nextBatch({ maxEvents: 1 })

describe("ended batches", () => {
  test("are told for as long as they are few, and the newest always", async () => {
    const name = await freshStream()
    await client.admin.createSubscription(name, "reader")
    await batches(name, 300)
    expect(await clear(10_000)).toBe(0)
    expect(await clear(50)).toBeGreaterThan(150)
    expect(await countOf("batch")).toBe(102)
    expect(await countOf("batch_end")).toBe(102)
    await batches(name, 3)
  })

  /** A member that holds a batch while others go through many, and ends it at last. */
  async function longHeld(): Promise<string> {
    const name = await freshStream()
    await client.admin.createSubscription(name, "reader")
    await publish(name, ...Array.from({ length: 300 }, String))
    const held = (await member(name))!
    for (let batch = await member(name); batch !== null; batch = await member(name)) await batch.finish()
    await clear(50)
    await held.finish()
    await clear(50)
    await publish(name, "more")
    return name
  }

  test("stay while the newest names them as open before it", async () => {
    expect(await drain(await longHeld(), "reader")).toEqual(["more"])
  })

  test("or the subscription would wait for one that nobody knows any more", async () => {
    await withBroken(pool, "clear_batches", "unnest(b.open) o", "unnest(open_batches(b)) o", async () => {
      expect(await drain(await longHeld(), "reader")).toEqual([])
    })
  })
})

describe("with a horizon that is pinned", () => {
  const tables = ["batch", "batch_end", "batch_lease", "slice", "tick", "stream_segment", "subscription", "stream", "event_retry", "queue"]
  const narrow = openPool(url, 1)
  const one = createClient(pgDriver(narrow), { listen: false, notify: false })
  const kit = segments({ client: one, pool: narrow }, "narrow")
  afterAll(() => narrow.end())

  /** Rows that were updated or deleted since the server started, each of which leaves a dead one. */
  async function dead(): Promise<Record<string, number>> {
    await narrow.query("select pg_stat_force_next_flush()") // the one connection that writes
    const { rows } = await pool.query<{ table: string; dead: number }>("select relname as table, (n_tup_upd + n_tup_del)::int as dead from pg_stat_user_tables where schemaname = 'sluice' and relname = any ($1)", [tables])
    return Object.fromEntries(rows.map(({ table, dead: count }) => [table, count]))
  }

  /** How many rows died of 60 rounds of reading, with ticks and rotations in between. */
  async function read(name: string): Promise<Record<string, number>> {
    const before = await dead()
    for (let round = 0; round < 60; round++) {
      await kit.publish(name, "a", "b", "c")
      expect(await kit.drain(name, "reader")).toEqual(["a", "b", "c"])
      if (round % 10 > 0) continue
      await kit.later(3 * 3600)
      await one.maintenance().run()
      await kit.settle(name)
    }
    const after = await dead()
    return Object.fromEntries(tables.map((table) => [table, after[table]! - before[table]!]))
  }

  test("reading, ticks and rotations leave no dead rows", async () => {
    const name = await kit.freshStream()
    await one.admin.createSubscription(name, "reader")
    const unpin = await pinHorizon(pool)
    const died = await read(name)
    await unpin()
    expect(died).toEqual({ ...Object.fromEntries(tables.map((table) => [table, 0])), tick: expect.any(Number) })
    expect(died["tick"]).toBeLessThan(10) // forgotten in bulk
  })

  test("slices and retries leave theirs, and no others", async () => {
    const name = await kit.freshStream()
    await one.admin.createSubscription(name, "reader", { backoff: null })
    const before = await dead()
    await kit.publish(name, ...Array.from({ length: 30 }, String))
    expect(await kit.drain(name, "reader", 10)).toHaveLength(30)
    await kit.publish(name, ...Array.from({ length: 20 }, String))
    const batch = (await kit.next(name, "reader"))!
    for (const event of await batch.list()) batch.retry(event)
    await batch.finish()
    expect(await kit.drain(name, "reader")).toHaveLength(20)
    const after = await dead()
    expect(Object.fromEntries(tables.map((table) => [table, after[table]! - before[table]!]).filter(([, count]) => count !== 0))).toEqual({ event_retry: 20 })
  })
})
