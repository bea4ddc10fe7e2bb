import { InvalidOptionError } from "../errors.ts"
import type { Emitter } from "../emitter.ts"
import { formatDuration } from "../duration.ts"
import { errorDocument } from "../queue/attempt-error.ts"
import { inSavepoint } from "../savepoint.ts"
import type { Session } from "../session.ts"
import { quietTimer } from "../timer.ts"
import { StaleBatchError } from "../stream-errors.ts"
import type { Decision, OpenBatch } from "../stream/batch.ts"
import type { StreamEvent } from "../stream/event.ts"
import type { Transactions } from "../transactions.ts"
import { HandlerTimeoutError } from "../work-errors.ts"
import type { Verdict } from "../worker/outcome.ts"
import { failed, settlementOf, unreadable } from "../worker/verdict.ts"
import type { Choose, EventTransactionContext } from "./handlers.ts"
import type { SubscriberEvents } from "./events.ts"
import type { CheckedSubscriber } from "./options.ts"

/** What handling a batch needs of its subscriber. */
export interface BatchHost<Tx> {
  readonly session: Session<Tx>
  readonly transactions: Transactions<Tx>
  readonly choose: Choose<Tx>
  readonly options: CheckedSubscriber
  readonly emitter: Emitter<SubscriberEvents>
  /** Fires when handlers have no more time. */
  readonly hurry: AbortSignal
}

interface Told {
  readonly event: StreamEvent
  readonly verdict: Pick<Verdict, "to" | "error">
}

/** Has the events handled, and finishes the batch. Rejects where it is not finished: then it comes again. */
export async function handleBatch<Tx>(batch: OpenBatch, host: BatchHost<Tx>): Promise<void> {
  const told: Told[] = []
  const signal = AbortSignal.any([batch.signal, host.hurry])
  const { dead } = host.options.transactional ? await inTransaction(batch, host, signal, told) : await inTurn(batch, host, signal, told)
  const gone = new Set(dead)
  for (const { event, verdict: { to, error } } of told) {
    if (to === "done") host.emitter.emit("done", { event })
    else host.emitter.emit(gone.has(event.id) ? "dead" : "retry", { event, error })
  }
}

async function inTurn<Tx>(batch: OpenBatch, host: BatchHost<Tx>, signal: AbortSignal, told: Told[]): Promise<{ dead: readonly string[] }> {
  const running = new Set<Promise<void>>()
  for await (const event of batch.events()) {
    signal.throwIfAborted()
    const handled = handle(event, batch, host, signal).then((verdict) => decide(batch, event, verdict, told))
    running.add(handled)
    // Of one that rejects, the race and the wait for all tell.
    handled.then(() => running.delete(handled), () => {})
    if (running.size >= host.options.concurrency) await Promise.race(running)
  }
  await Promise.all(running)
  signal.throwIfAborted()
  return batch.finish()
}

/** Each event in a savepoint: what a failing one did is undone, and that it failed commits with what the others did. */
async function inTransaction<Tx>(batch: OpenBatch, host: BatchHost<Tx>, signal: AbortSignal, told: Told[]): Promise<{ dead: readonly string[] }> {
  // Before the transaction: it may hold the only connection there is.
  const events = await batch.list()
  const ended = new AbortController()
  try {
    return await host.transactions.run(async (tx) => {
      await batch.lock(tx)
      for (const event of events) {
        signal.throwIfAborted()
        const verdict = await handleInSavepoint(event, batch, host, AbortSignal.any([signal, ended.signal]), tx)
        decide(batch, event, verdict, told)
      }
      return batch.finish({ tx })
    })
  } catch (error) {
    ended.abort(error)
    told.length = 0
    batch.forgetEnd()
    throw error
  }
}

/** Thrown so that the savepoint is rolled back. */
class Undone extends Error {
  readonly verdict: Verdict
  constructor(verdict: Verdict) {
    super("undone")
    this.verdict = verdict
  }
}

async function handleInSavepoint<Tx>(event: StreamEvent, batch: OpenBatch, host: BatchHost<Tx>, signal: AbortSignal, tx: Tx): Promise<Verdict> {
  try {
    return await inSavepoint(host.session.driver, tx, async (inner) => {
      host.transactions.join(inner, tx)
      const { verdict, threw } = await call(event, batch, host, signal, inner)
      if (threw) throw new Undone(verdict)
      return verdict
    })
  } catch (error) {
    if (error instanceof Undone) return error.verdict
    throw error
  }
}

async function handle<Tx>(event: StreamEvent, batch: OpenBatch, host: BatchHost<Tx>, signal: AbortSignal): Promise<Verdict> {
  return (await call(event, batch, host, signal)).verdict
}

/** Calls the handler, and says what becomes of the event. Rejects only where the batch as a whole is out of time, or lost. */
async function call<Tx>(event: StreamEvent, batch: OpenBatch, host: BatchHost<Tx>, signal: AbortSignal, tx?: Tx): Promise<{ verdict: Verdict; threw: boolean }> {
  const run = host.choose(event)
  const { options } = host
  if (run === undefined) return { verdict: { to: "done" }, threw: false }
  const refused = unreadable(event, "data")
  if (refused !== undefined && options.onInvalid === "deadLetter") return { verdict: { to: "dead", error: refused }, threw: false }
  const own = new AbortController()
  const timer = options.timeout === undefined ? undefined : quietTimer(() => own.abort(new HandlerTimeoutError(String(formatDuration(options.timeout!)))), options.timeout)
  const combined = AbortSignal.any([signal, own.signal])
  try {
    if (refused !== undefined) throw refused
    const context = { signal: combined, subscription: batch.subscription, batch: { id: batch.id, attempt: batch.attempt }, ...(tx !== undefined && { tx }) } as EventTransactionContext<Tx>
    const answer = Promise.resolve().then(() => run(event, context))
    const value = await (tx === undefined ? Promise.race([answer, aborted(combined)]) : answer)
    if (own.signal.aborted) throw own.signal.reason
    return { verdict: allowed(settlementOf(value, event, options)), threw: false }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    return { verdict: allowed(failed(error, event, options, own.signal)), threw: true }
  } finally {
    clearTimeout(timer)
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true })
  })
}

/** An event cannot be put off without charge, nor cancelled: others have it, too. */
function allowed({ to, ...rest }: { readonly to: string; readonly delay?: number | undefined; readonly error?: unknown }): Verdict {
  if (to === "done" || to === "retry" || to === "dead") return { to, ...rest } as Verdict
  return { to: "retry", error: new InvalidOptionError("outcome", to, "is no outcome of an event: there are done, retry and deadLetter") }
}

function decide(batch: OpenBatch, event: StreamEvent, verdict: Verdict, told: Told[]): void {
  const { to, delay, error } = verdict
  told.push({ event, verdict })
  if (to === "done") return batch.decide(event, undefined)
  const decision: Omit<Decision, "id"> = { ...(error !== undefined && { error: errorDocument(error, batch.subscription) }), ...(delay !== undefined && { delay }), ...(to === "dead" && { dead: true }) }
  batch.decide(event, decision)
}

/** Whether the batch is another's, and nothing is left to do for it. */
export const isLost = (error: unknown): boolean => error instanceof StaleBatchError
