import type { Client } from "@sluice/core"
import type { Pool, PoolClient } from "pg"

/** A transaction that keeps vacuum from removing what dies from now on: a long report, a forgotten psql. */
export async function pinHorizon(pool: Pool): Promise<() => Promise<void>> {
  const pin = await pool.connect()
  await pin.query("begin isolation level repeatable read")
  await pin.query("select 1 from pg_class limit 1")
  return async () => {
    await pin.query("rollback")
    pin.release()
  }
}

/** Sends, reads and deletes: what stays behind are dead rows, two for each message. */
export async function churn(client: Client<PoolClient>, name: string, count: number, batch = 500): Promise<void> {
  const queue = client.queue(name)
  for (let done = 0; done < count; done += batch) {
    await queue.sendBatch(Array.from({ length: batch }, (_, i) => ({ payload: { n: i, text: "x".repeat(100) } })))
    await queue.deleteBatch(await queue.readBatch({ limit: batch }))
  }
}

/** The floor of a queue's level 1, or null where there is none. */
export async function floorOf(pool: Pool, name: string): Promise<Date | null> {
  const { rows } = await pool.query(
    `select nullif(f.vt, '-infinity') as vt from sluice.floor f join sluice.queue q on q.id = f.queue
      where q.name = $1 and f.priority = 1 order by f.version desc limit 1`,
    [name],
  )
  return rows[0]?.vt ?? null
}
