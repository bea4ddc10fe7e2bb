import { checkOptions, describe } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { InvalidOptionError, StaleLeaseError } from "../errors.ts"
import type { Leased } from "../message.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"
import { checkLeased } from "./settle.ts"

export interface RetryOptions<Tx> extends TxOption<Tx> {
  /** Ready again this long from now. Default 0. */
  readonly delay?: Duration
  /** Why; the last 50 are kept with the message, also in the dead-letter queue and the archive. */
  readonly error?: unknown
}

export interface RetryResult {
  /** `"dead"`: the message had used up its attempts and went to the dead-letter queue, or the archive where there is none. */
  readonly outcome: "retry" | "dead"
  /** When it is ready again; null when dead. */
  readonly visibleAt: Date | null
}

const statement = {
  name: "retry",
  text: `select fault::text as fault, outcome, (extract(epoch from visible_at) * 1000)::float8 as visible
    from {schema}.try_retry($1::text, $2::text::bigint, $3::text::bigint, $4::float8 * interval '1 millisecond', $5::text::jsonb)`,
}

export async function retry<Tx>(session: Session<Tx>, queue: string, message: Leased, options: RetryOptions<Tx>): Promise<RetryResult> {
  checkOptions(options, ["delay", "error", "tx"], "options")
  const { id, lease } = checkLeased(message, "message")
  const delay = options.delay === undefined ? 0 : milliseconds(options.delay, "delay")
  const [row] = await session.run<{ outcome: "retry" | "dead"; visible: number | null }>(
    statement,
    [queue, id, lease, delay, encodeError(options.error)],
    options,
  )
  if (row === undefined) throw new StaleLeaseError(queue, id, lease)
  return { outcome: row.outcome, visibleAt: row.visible === null ? null : new Date(row.visible) }
}

/** An error as it is kept. Whatever was thrown must be storable: what Postgres could not hold is replaced, not refused. */
function encodeError(error: unknown): string | null {
  if (error === undefined || error === null) return null
  const clean = (text: unknown): string => String(text).slice(0, 10_000).replaceAll("\0", "").toWellFormed()
  if (error instanceof Error) {
    return JSON.stringify({ name: clean(error.name), message: clean(error.message), ...(error.stack && { stack: clean(error.stack) }) })
  }
  if (typeof error === "string") return JSON.stringify({ name: "Error", message: clean(error) })
  throw new InvalidOptionError("error", error, `must be an Error or a string, got ${describe(error)}`)
}
