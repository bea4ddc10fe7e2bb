import { formatDuration } from "../duration.ts"
import type { Emitter } from "../emitter.ts"
import { InvalidOptionError } from "../errors.ts"
import { follow, onAbort } from "../follow.ts"
import type { Session } from "../session.ts"
import type { Batch } from "../stream/batch.ts"
import type { StreamEvent } from "../stream/event.ts"
import { quietTimer } from "../timer.ts"
import type { Transactions } from "../transactions.ts"
import { HandlerTimeoutError } from "../work-errors.ts"
import type { Verdict } from "../worker/outcome.ts"
import { failed, type Settlement, settlementOf, unreadable } from "../worker/verdict.ts"
import type { SubscriberEvents } from "./events.ts"
import type { Choose, EventTransactionContext } from "./handlers.ts"
import type { CheckedSubscriber } from "./options.ts"

/** What handling a batch needs of its subscriber. */
export interface BatchHost<Tx> {
  readonly session: Session<Tx>
  readonly transactions: Transactions<Tx>
  readonly choose: Choose<Tx>
  readonly options: CheckedSubscriber
  readonly emitter: Emitter<SubscriberEvents>
  /** Fires when no more is to be begun. */
  readonly stopping: AbortSignal
  /** Fires when handlers have no more time. */
  readonly hurry: AbortSignal
}

/** What becomes of an event; with `threw` what its handler did is to be undone. */
export interface Called {
  readonly verdict: Verdict
  readonly threw: boolean
}

/** Calls the handler of an event. Rejects only where the batch as a whole is lost, or out of time: `over` has fired. */
export async function callEvent<Tx>(event: StreamEvent, batch: Batch, host: BatchHost<Tx>, over: AbortSignal, tx?: Tx): Promise<Called> {
  const { choose, options } = host
  const run = choose(event)
  if (run === undefined) return { verdict: { to: "done" }, threw: false }
  const refused = unreadable(event, "data")
  if (refused !== undefined && options.onInvalid === "deadLetter") return { verdict: { to: "dead", error: refused }, threw: false }
  const { controller, letGo } = follow(over)
  const { signal } = controller
  const { timeout } = options
  const timer = timeout === undefined ? undefined : quietTimer(() => controller.abort(new HandlerTimeoutError(String(formatDuration(timeout)))), timeout)
  try {
    if (refused !== undefined) throw refused
    const context = { signal, subscription: batch.subscription, batch: { id: batch.id, attempt: batch.attempt }, ...(tx !== undefined && { tx }) } as EventTransactionContext<Tx>
    const answer = Promise.resolve().then(() => run(event, context))
    // A transaction must not end under the hands of a handler that ignores its signal.
    const value = await (tx === undefined ? orAborted(answer, signal) : answer)
    if (signal.reason instanceof HandlerTimeoutError) throw signal.reason
    const settlement = settlementOf(value, event, options)
    if (!isAllowed(settlement)) throw refusal(settlement)
    return { verdict: settlement, threw: false }
  } catch (error) {
    if (over.aborted && !(signal.reason instanceof HandlerTimeoutError)) throw over.reason
    return { verdict: verdictOf(error, event, options, signal), threw: true }
  } finally {
    clearTimeout(timer)
    letGo()
  }
}

/** What becomes of an event whose attempt failed with this error. */
export function verdictOf(error: unknown, event: StreamEvent, options: CheckedSubscriber, signal?: AbortSignal): Verdict {
  const settlement = failed(error, event, options, signal)
  if (isAllowed(settlement)) return settlement
  return failed(refusal(settlement), event, { backoff: options.backoff }) as Verdict
}

/** Who comes first, where a handler that heeds its signal at once does. What it rejects with later is nobody's. */
async function orAborted(answer: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
  let end: (() => void) | undefined
  const aborted = new Promise<never>((_, reject) => (end = onAbort(signal, () => setTimeout(() => reject(signal.reason as Error), 0))))
  return Promise.race([answer, aborted]).finally(end)
}

/** An event cannot be put off without charge, nor cancelled: it is not this subscription's alone. */
const isAllowed = (settlement: Settlement): settlement is Verdict => settlement.to === "done" || settlement.to === "retry" || settlement.to === "dead"

const refusal = ({ to }: Settlement): InvalidOptionError => new InvalidOptionError("outcome", to, "is no outcome of an event: there are done, retry and deadLetter")
