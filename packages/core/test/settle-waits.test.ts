import { expect, test } from "vitest"
import { harness, inTransaction } from "./helpers/harness.ts"

const { client, pool, freshQueue } = await harness()

async function untilSomebodyWaits(): Promise<void> {
  for (let looks = 0; looks < 1000; looks++) {
    const { rows } = await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
    if (rows.length > 0) return
  }
  throw new Error("Nobody waits.")
}

test.each(["deleteBatch", "archiveBatch"] as const)("%s by who holds the lease waits for a change of the same message, and settles what it became", async (settle) => {
  const queue = client.queue(await freshQueue())
  await queue.sendBatch(["a", "b", "c"].map((payload) => ({ payload })))
  const held = await queue.readBatch({ limit: 3 })
  const settled = await inTransaction(pool, async (tx) => {
    await queue.extend(held[1]!, "1m", { tx })
    const waiting = queue[settle](held)
    await untilSomebodyWaits()
    return { waiting }
  })
  expect(await settled.waiting).toEqual({ settled: held.map(({ id }) => id), refused: [] })
})
