import { checkBoolean, checkOptions } from "../check.ts"
import type { Session } from "../session.ts"

export interface RestoreOptions {
  /** The transaction ids hold, only the cluster is another one: after pg_upgrade. Default false. */
  readonly sameHistory?: boolean
}

export interface RestoreResult {
  /** Streams that were repaired; 0 where the cluster is the one that it was. */
  readonly streams: number
  /** Events that subscriptions had not done with, and get as retries. */
  readonly events: number
}

const statement = { name: "after_restore", text: "select fault::text as fault, streams, events::float8 as events from {schema}.try_after_restore($1::bool)" }

/** See `admin.afterRestore`. */
export async function afterRestore<Tx>(session: Session<Tx>, options: RestoreOptions): Promise<RestoreResult> {
  checkOptions(options, ["sameHistory"], "options")
  const sameHistory = checkBoolean(options.sameHistory === undefined ? false : options.sameHistory, "sameHistory")
  const [row] = await session.run<{ streams: number; events: number }>(statement, [sameHistory])
  return { streams: row!.streams, events: row!.events }
}
