import { follow } from "../follow.ts"
import { inSavepoint } from "../savepoint.ts"
import { isConnectionError, sqlState } from "../sql-state.ts"
import type { FinishResult, OpenBatch } from "../stream/batch.ts"
import type { StreamEvent } from "../stream/event.ts"
import type { Verdict } from "../worker/outcome.ts"
import { type Attempt, decide } from "./attempt.ts"
import { type BatchHost, callEvent, verdictOf } from "./call-event.ts"

/** Each event in a savepoint: what a failing one did is undone, and that it failed commits with what the others did. */
export async function handleInTransaction<Tx>(batch: OpenBatch, host: BatchHost<Tx>, over: AbortSignal, attempt: Attempt): Promise<FinishResult> {
  // Before the transaction: it may hold the only connection there is.
  const events = await batch.list()
  const ended = new AbortController()
  const { controller, letGo } = follow(over, ended.signal)
  try {
    return await host.transactions.run(async (tx) => {
      await batch.lock(tx)
      attempt.undone = events.length > 0
      for (const event of events) {
        controller.signal.throwIfAborted()
        const verdict = await handleInSavepoint(event, batch, host, controller.signal, tx)
        ended.signal.throwIfAborted()
        decide(batch, event, verdict, attempt)
      }
      return batch.finish({ tx })
    })
  } catch (error) {
    // A library may tell that the connection is lost while the handler still runs.
    ended.abort(error)
    attempt.told.length = 0
    batch.forgetEnd()
    throw error
  } finally {
    letGo()
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

async function handleInSavepoint<Tx>(event: StreamEvent, batch: OpenBatch, host: BatchHost<Tx>, over: AbortSignal, tx: Tx): Promise<Verdict> {
  try {
    return await inSavepoint(host.session.driver, tx, async (inner) => {
      host.transactions.join(inner, tx)
      const { verdict, threw } = await callEvent(event, batch, host, over, inner)
      if (threw) throw new Undone(verdict)
      return verdict
    })
  } catch (error) {
    if (error instanceof Undone) return error.verdict
    if (over.aborted || isConnectionError(error)) throw error
    return verdictOf(swallowed(error), event, host.options)
  }
}

function swallowed(error: unknown): unknown {
  if (sqlState(error) !== "25P02") return error
  return new Error("A statement of the handler failed, and the handler went on: what it did is undone.", { cause: error })
}
