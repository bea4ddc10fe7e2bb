import { formatDuration } from "../duration.ts"
import { HandlerTimeoutError, WorkerStoppedError } from "../work-errors.ts"
import { quietTimer } from "../timer.ts"
import { createReporter } from "./report-progress.ts"
import type { HandlerSpec, MessageContext, TransactionContext } from "./handler.ts"
import type { Held } from "./held.ts"

/** What a call needs of its worker. */
export interface CallHost {
  readonly worker: string
  /** The signals of all calls that run. */
  readonly calls: Set<AbortController>
  onBegin(held: Held): void
  /** Something is wrong that no message is failed for. */
  onTrouble(error: unknown): void
  keepsResults(): boolean
}

/**
 * Calls the handler for some messages, under one signal, and resolves with what it returned. Who ignores the signal is waited for
 * no longer once his time is over, but in a transaction: that must not end under his hands.
 */
export async function callHandler<Tx>(spec: HandlerSpec<Tx>, helds: readonly Held[], host: CallHost, tx?: Tx): Promise<unknown> {
  const controller = new AbortController()
  const { signal } = controller
  host.calls.add(controller)
  for (const held of helds) {
    held.begun = true
    held.controller = controller
    held.mates = helds
    host.onBegin(held)
  }
  const { timeout } = spec
  const timer = timeout === undefined ? undefined : quietTimer(() => controller.abort(new HandlerTimeoutError(String(formatDuration(timeout)))), timeout)
  try {
    const context = { signal, worker: host.worker, ...(!spec.whole && { progress: createReporter(spec.session, helds[0]!.message, host.onTrouble) }), ...(tx !== undefined && { tx }) } as MessageContext & TransactionContext<Tx>
    const answer = answerOf(spec, helds, context)
    const value = await (tx === undefined ? Promise.race([answer, outOfTime(signal)]) : answer)
    // It may have ended just because it was told to.
    if (signal.aborted && !(signal.reason instanceof WorkerStoppedError)) throw signal.reason
    return value
  } finally {
    clearTimeout(timer)
    host.calls.delete(controller)
  }
}

async function answerOf<Tx>(spec: HandlerSpec<Tx>, helds: readonly Held[], context: MessageContext & TransactionContext<Tx>): Promise<unknown> {
  return spec.call(helds.map(({ message }) => message), context)
}

/** Rejects when the time of the handler, or of its worker, is over. */
function outOfTime(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => {
      if (signal.reason instanceof HandlerTimeoutError || signal.reason instanceof WorkerStoppedError) reject(signal.reason as Error)
    })
  })
}
