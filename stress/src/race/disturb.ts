import type { Pool } from "pg"
import { onConnection } from "../on-connection.ts"
import { nowAndThen } from "../now-and-then.ts"
import { pause } from "../pause.ts"
import type { Random } from "../random.ts"
import type { Child } from "../start-child.ts"
import { ledger } from "./ledger.ts"
import { MAINTAINER } from "./settings.ts"

/** A session with a snapshot that it keeps: until it is let go no dead row can be vacuumed away. */
export async function pinHorizon(pool: Pool): Promise<() => Promise<void>> {
  const tx = await pool.connect()
  await tx.query("begin isolation level repeatable read")
  await tx.query("select from ledger.note limit 1")
  return async () => {
    await tx.query("rollback")
    tx.release()
  }
}

/** As pg_dump does: a lock on every table of messages, for a second or two. */
export function dumpNowAndThen(pool: Pool, random: Random, table: string, signal: AbortSignal): Promise<void> {
  return nowAndThen(random, 3000, 6000, signal, async () => {
    await onConnection(pool, async (tx) => {
      await tx.query("begin")
      await tx.query(`lock table sluice.${table} in access share mode`)
      await pause(random.integer(1000, 2000))
      await tx.query("rollback")
    })
  })
}

export function terminateMaintainers(pool: Pool, random: Random, signal: AbortSignal): Promise<void> {
  return nowAndThen(random, 2000, 5000, signal, async () => {
    const { rowCount } = await pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and datname = current_database() limit $2", [MAINTAINER, random.integer(1, 2)])
    await ledger.note(pool, "backends terminated", rowCount ?? 0)
  })
}

export function killChildren(pool: Pool, random: Random, children: readonly Child[], signal: AbortSignal): Promise<void> {
  return nowAndThen(random, 1500, 4000, signal, async () => {
    await random.pick(children).replace()
    await ledger.note(pool, "processes killed")
  })
}
