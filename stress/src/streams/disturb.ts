import type { Pool } from "pg"
import { nowAndThen } from "../now-and-then.ts"
import { onConnection } from "../on-connection.ts"
import { pause } from "../pause.ts"
import type { Random } from "../random.ts"
import type { Child } from "../start-child.ts"
import { ledger } from "./ledger.ts"
import { READER, STREAM } from "./settings.ts"

/** Ticks, rotates and clears far more often than maintenance does. Two of these at a time must not harm each other. */
export async function turn(pool: Pool, random: Random, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pool.query("select from sluice.try_tick($1, false, null, null)", [STREAM])
    const { rows: [row] } = await pool.query<{ did: string }>("select did from sluice.rotate_step($1)", [STREAM])
    if (row!.did !== "nothing") await ledger.note(pool, row!.did)
    if (random.chance(0.1)) {
      const { rows } = await pool.query<{ count: number }>("select sluice.clear_batches(10) as count")
      await ledger.note(pool, "batches cleared", rows[0]!.count)
    }
    await pause(random.integer(30, 100), signal)
  }
}

/** A transaction that has an id and does nothing: every snapshot has it among those that are running. */
export async function stayIdle(pool: Pool, signal: AbortSignal): Promise<void> {
  await onConnection(pool, async (tx) => {
    await tx.query("begin")
    await tx.query("select pg_current_xact_id()")
    while (!signal.aborted) await pause(60_000, signal)
    await tx.query("rollback")
  })
}

export function terminateReaders(pool: Pool, random: Random, signal: AbortSignal): Promise<void> {
  return nowAndThen(random, 200, 800, signal, async () => {
    const { rowCount } = await pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and datname = current_database() order by random() limit $2", [READER, random.integer(1, 2)])
    await ledger.note(pool, "backends terminated", rowCount ?? 0)
  })
}

export function killChildren(pool: Pool, random: Random, children: readonly Child[], signal: AbortSignal): Promise<void> {
  return nowAndThen(random, 1500, 4000, signal, async () => {
    await random.pick(children).replace()
    await ledger.note(pool, "processes killed")
  })
}
