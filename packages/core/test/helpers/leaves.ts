import type { Pool, PoolClient } from "pg"
import { claimCall } from "./claim-pages.ts"
import type { Harness } from "./harness.ts"

export type StorageKind = "shared" | "dedicated"

export interface LeafQueue {
  readonly name: string
  /** What the names of its tables and functions end with: "" or "_s1". */
  readonly suffix: string
  readonly leaves: readonly [string, string]
}

/** A queue in whose leaves nobody but Sluice clears away what is dead. */
export async function unvacuumedQueue({ pool, freshQueue }: Harness, storage: StorageKind = "shared"): Promise<LeafQueue> {
  const name = await freshQueue({ storage })
  const { rows } = await pool.query("select case storage when 0 then '' else '_s' || storage end as suffix from sluice.queue where name = $1", [name])
  const suffix: string = rows[0].suffix
  const leaves = [`sluice.message${suffix}_0`, `sluice.message${suffix}_1`] as const
  for (const leaf of leaves) await pool.query(`alter table ${leaf} set (autovacuum_enabled = false)`)
  return { name, suffix, leaves }
}

export const sendMany = (db: Pool | PoolClient, queue: string, count: number): Promise<unknown> =>
  db.query("select count(*) from sluice.try_send_batch($1, to_jsonb(array_fill(1, array[$2::int])), '[]', null, null, null, null)", [queue, count])

/** Stores messages that are ready this long from now: what sends would have stored, only sooner done. */
export const insertMany = (pool: Pool, queue: LeafQueue, count: number, ready: string, level = 1): Promise<unknown> =>
  pool.query(
    `insert into sluice.message${queue.suffix} (segment, queue, priority, vt, enqueued_at, payload)
     select s.current, q.id, $4::int, now() + $3::interval + n * interval '1 microsecond', now(), '1'
       from sluice.queue q, generate_series(1, $2::int) n,
            lateral (select current from sluice.segment where storage = q.storage order by generation desc limit 1) s
      where q.name = $1`,
    [queue.name, count, ready, level],
  )

/** Sends, reads and deletes messages, 500 at a time, and calls `between` after each ten times. */
export async function processMany(pool: Pool, queue: string, count: number, between: () => Promise<unknown> = async () => {}): Promise<void> {
  const worker = await pool.connect()
  try {
    for (let i = 1; i <= count / 500; i++) {
      await sendMany(worker, queue, 500)
      await worker.query(
        `select count(*) from (
           select array_agg(id order by id) as ids, array_agg(lease order by id) as leases from ${claimCall("read", queue, 500)}
         ) claimed, lateral sluice.try_delete($1, ids, leases)`,
        [queue],
      )
      if (i % 10 !== 0) continue
      // So that what is dead is known now, and not within a second.
      await worker.query("select pg_stat_force_next_flush()")
      await between()
    }
  } finally {
    worker.release()
  }
}
