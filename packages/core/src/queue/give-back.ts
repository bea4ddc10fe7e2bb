import { checkOptions } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { StaleLeaseError } from "../errors.ts"
import type { Leased, Message } from "../message.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"
import { encodeError, type ErrorDocument } from "./attempt-error.ts"
import { arrayText, leaseLists } from "./id-lists.ts"
import { checkLeased, type SettleOptions } from "./settle.ts"

/** What becomes of a message that is not done, see the SQL function `try_settle`. */
export interface GivenBack {
  readonly to: "release" | "retry" | "snooze" | "dead" | "cancel"
  /** Milliseconds. Of a retry: left out for the queue's backoff. */
  readonly delay?: number
  readonly error?: ErrorDocument
}

export interface RetryOptions<Tx> extends TxOption<Tx> {
  /** Ready again this long from now. Default: the queue's backoff. */
  readonly delay?: Duration
  /** Why; the last 50 are kept with the message, also in the dead-letter queue and the archive. */
  readonly error?: unknown
}

export interface DeadLetterOptions<Tx> extends TxOption<Tx> {
  /** Why; kept with the message. */
  readonly error?: unknown
}

export interface RetryResult {
  /**
   * `"dead"`: the message had used up its attempts and went to the dead-letter queue, or the archive where there is none.
   * `"cancelled"`: it was cancelled while it was held, and is gone.
   */
  readonly outcome: "retry" | "dead" | "cancelled"
  /** When it is ready again; null when it will not be. */
  readonly visibleAt: Date | null
}

export interface SettledRow {
  readonly id: string
  readonly outcome: "done" | "release" | "retry" | "snooze" | "dead" | "cancelled"
  readonly visible: number | null
}

export const settledColumns = "fault::text as fault, id::text as id, outcome, (extract(epoch from visible_at) * 1000)::float8 as visible"

const statement = {
  name: "settle",
  text: `select ${settledColumns} from {schema}.try_settle($1::text, $2::text::bigint[], $3::text::bigint[], $4::text::jsonb)`,
}

async function giveBack<Tx>(session: Session<Tx>, queue: string, message: Leased, what: GivenBack, options: TxOption<Tx>): Promise<SettledRow> {
  const { id, lease } = checkLeased(message, "message")
  const [row] = await session.run<SettledRow>(statement, [queue, arrayText([id]), arrayText([lease]), JSON.stringify([what])], options)
  if (row === undefined) throw new StaleLeaseError(queue, id, lease)
  return row
}

/** Hands a message back before its lease ends. The attempt stays counted: it was a delivery. */
export async function release<Tx>(session: Session<Tx>, queue: string, message: Leased, options: SettleOptions<Tx>): Promise<void> {
  checkOptions(options, ["tx"], "options")
  await giveBack(session, queue, message, { to: "release" }, options)
}

/** Of what was just read under one lease: stale ones are nobody's loss. */
export async function releaseBatch<Tx>(session: Session<Tx>, queue: string, messages: readonly Leased[], options: SettleOptions<Tx>): Promise<void> {
  const { ids, leases } = leaseLists(messages)
  const what = JSON.stringify(ids.map(() => ({ to: "release" })))
  await session.run(statement, [queue, arrayText(ids), arrayText(leases), what], { tx: options.tx })
}

export async function retry<Tx>(session: Session<Tx>, queue: string, message: Leased, options: RetryOptions<Tx>): Promise<RetryResult> {
  checkOptions(options, ["delay", "error", "tx"], "options")
  const delay = options.delay === undefined ? undefined : milliseconds(options.delay, "delay")
  const { outcome, visible } = await giveBack(session, queue, message, { to: "retry", delay, error: encodeError(options.error) }, options)
  return { outcome: outcome as RetryResult["outcome"], visibleAt: visible === null ? null : new Date(visible) }
}

/** Puts a message off without charging the attempt. */
export async function snooze<Tx>(session: Session<Tx>, queue: string, message: Leased, delay: Duration, options: SettleOptions<Tx>): Promise<Pick<Message, "visibleAt">> {
  checkOptions(options, ["tx"], "options")
  const { visible } = await giveBack(session, queue, message, { to: "snooze", delay: milliseconds(delay, "delay") }, options)
  return { visibleAt: visible === null ? null : new Date(visible) }
}

export async function deadLetter<Tx>(session: Session<Tx>, queue: string, message: Leased, options: DeadLetterOptions<Tx>): Promise<void> {
  checkOptions(options, ["error", "tx"], "options")
  await giveBack(session, queue, message, { to: "dead", error: encodeError(options.error) }, options)
}
