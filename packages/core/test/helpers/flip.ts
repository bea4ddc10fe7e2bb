import type { Pool, PoolClient } from "pg"
import { expect } from "vitest"
import { inTransaction } from "./harness.ts"

export interface FlipStep {
  readonly did: string
  readonly count?: number
  readonly after?: string
}

/** One step of a flip of the shared storage, begun as soon as dead rows are more than twice the live ones. */
export async function flipStep(on: Pool | PoolClient, after: string | null = null): Promise<FlipStep> {
  const { rows } = await on.query<{ step: FlipStep }>("select sluice.flip_step(0, 0, '0', $1::tid) as step", [after])
  return rows[0]!.step
}

/** Goes on to the step that does `last`, or to one that does nothing more, and returns what was done. */
export async function flipUntil(on: Pool | PoolClient, last: string): Promise<string[]> {
  const did: string[] = []
  for (let after: string | null = null; ; ) {
    const step = await flipStep(on, after)
    did.push(step.did)
    if ([last, "nothing", "busy", "waits", "refused"].includes(step.did)) return did
    after = step.after ?? null
  }
}

/** Dead rows in the current segment, seen by the statistics at once and kept from vacuum: a flip pays now. */
export async function makeFlipPay(pool: Pool, dead = 5000): Promise<void> {
  const tx = await pool.connect()
  for (const leaf of ["message_0", "message_1"]) await tx.query(`alter table sluice.${leaf} set (autovacuum_enabled = false)`)
  await tx.query(
    `insert into sluice.message (segment, queue, priority, vt, enqueued_at, payload)
     select (select current from sluice.segment where storage = 0 order by generation desc limit 1), 0, 0, now(), now(), '0' from generate_series(1, $1::int)`, [dead])
  await tx.query("delete from sluice.message where queue = 0")
  await tx.query("select pg_stat_force_next_flush()")
  tx.release()
}

/** The one segment that readers visit, null while there are two; and the bytes of the other. */
export async function flipState(pool: Pool): Promise<{ visited: number | null; current: number; left: number }> {
  const { rows } = await pool.query(
    `select case when cardinality(live) = 1 then live[1] end as visited, current, pg_relation_size(('sluice.message_' || 1 - current)::regclass)::int as left
       from sluice.segment where storage = 0 order by generation desc limit 1`)
  return rows[0]
}

/** A message of the newest queue in the segment that is not sent to: as a sender leaves it who looked up the segment before a flip. */
export async function leaveStray(pool: Pool): Promise<void> {
  await pool.query(
    `insert into sluice.message (segment, queue, priority, vt, enqueued_at, payload)
     select 1 - s.current, q.id, 1, sluice.clock(), sluice.clock(), '"stray"'
       from (select current from sluice.segment where storage = 0 order by generation desc limit 1) s, (select id from sluice.queue order by id desc limit 1) q`)
}

/** `settle` looks up the one segment there is and waits for it, while everything in it is moved to the other. */
export async function flipDuring(pool: Pool, settle: () => Promise<unknown>): Promise<void> {
  let settled: Promise<unknown> | undefined
  await inTransaction(pool, async (tx) => {
    await tx.query(`lock table only sluice.message_${(await flipState(pool)).current} in access exclusive mode`)
    settled = settle()
    settled.catch(() => {}) // awaited below
    await expect.poll(async () => (await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount).toBe(1)
    expect(await flipUntil(tx, "drained")).toContain("moved")
  })
  await settled
}
