import { ConnectionError } from "../errors.ts"
import { typedError } from "../session.ts"
import { sqlState } from "../sql-state.ts"
import { StaleBatchError } from "../stream-errors.ts"
import type { OpenBatch } from "../stream/batch.ts"
import { failed } from "../worker/verdict.ts"
import type { Verdict } from "../worker/outcome.ts"
import { type Attempt, decide, tell } from "./attempt.ts"
import { type BatchHost, verdictOf } from "./call-event.ts"

/** The batch that a member did not finish the last time: once is nobody's fault. */
export interface Memory {
  failed?: OpenBatch | undefined
}

/** Decides what becomes of a batch that was not finished; false: it is still open, and should not be tried again at once. */
export async function giveUp<Tx>(batch: OpenBatch, host: BatchHost<Tx>, attempt: Attempt, thrown: unknown, memory: Memory): Promise<boolean> {
  const { emitter, stopping, hurry } = host
  const error = typedError(thrown)
  try {
    if (isLost(error) || batch.signal.aborted) throw batch.signal.aborted ? batch.signal.reason : error
    if (!hurry.aborted || error !== hurry.reason) emitter.emit("error", { error })
    const known = memory.failed?.id === batch.id
    memory.failed = batch
    const blamed = attempt.undone && !hurry.aborted && (known || !mayPass(error))
    if (blamed) await setApart(batch, host, error)
    else if (stopping.aborted) await batch.release()
    return attempt.undone || stopping.aborted
  } catch (again) {
    if (!isLost(again)) {
      emitter.emit("error", { error: again })
      return false
    }
    memory.failed = undefined
    emitter.emit("lost", { id: batch.id })
    return true
  }
}

/** The transaction of all could not be committed: each has one of its own next, and of many nobody knows which is to blame. */
async function setApart<Tx>(batch: OpenBatch, host: BatchHost<Tx>, error: unknown): Promise<void> {
  const { options } = host
  const attempt: Attempt = { told: [], undone: false }
  const single = batch.count === 1
  for (const event of await batch.list()) {
    const verdict = single ? verdictOf(error, event, options) : (failed(error, event, { backoff: options.backoff }) as Verdict)
    decide(batch, event, verdict, attempt, { alone: true, spared: !single })
  }
  tell(await batch.finish(), host, attempt)
}

/** Whether the batch is another's, and nothing is left to do for it. */
const isLost = (error: unknown): boolean => error instanceof StaleBatchError

/** A lost connection, a failure to serialize, a deadlock. */
const mayPass = (error: unknown): boolean => error instanceof ConnectionError || ["40001", "40P01"].includes(sqlState(error) ?? "")
