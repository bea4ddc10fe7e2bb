import { ConnectionError, SluiceError, StatementCancelledError } from "../errors.ts"
import { follow } from "../follow.ts"
import { sleep } from "../sleep.ts"
import type { FinishResult, OpenBatch } from "../stream/batch.ts"
import { type Attempt, decide, tell } from "./attempt.ts"
import { type BatchHost, callEvent } from "./call-event.ts"
import { handleInTransaction } from "./handle-in-transaction.ts"

const FIRST_PAUSE = 100
const LONGEST_PAUSE = 3200

/** Has the events handled, and finishes the batch. Rejects where it is not finished. */
export async function handleBatch<Tx>(batch: OpenBatch, host: BatchHost<Tx>, attempt: Attempt): Promise<void> {
  const { controller, letGo } = follow(batch.signal, host.hurry)
  try {
    const handle = host.options.transactional ? handleInTransaction : handleInTurn
    tell(await handle(batch, host, controller.signal, attempt), host, attempt)
  } finally {
    letGo()
  }
}

async function handleInTurn<Tx>(batch: OpenBatch, host: BatchHost<Tx>, over: AbortSignal, attempt: Attempt): Promise<FinishResult> {
  const running = new Set<Promise<void>>()
  try {
    for await (const event of batch.events()) {
      over.throwIfAborted()
      const handled = callEvent(event, batch, host, over).then(({ verdict }) => decide(batch, event, verdict, attempt))
      running.add(handled)
      // Of one that rejects, the race and the wait for all tell.
      handled.then(() => running.delete(handled), () => {})
      if (running.size >= host.options.concurrency) await Promise.race(running)
    }
    await Promise.all(running)
  } catch (error) {
    // The batch comes again, and no event is to be handled twice at once.
    await Promise.allSettled(running)
    throw error
  }
  batch.signal.throwIfAborted()
  return finishAtLast(batch, host, over)
}

/** What its handlers did is done: that the server is away for a moment is no reason to do it again, while the lease may last. */
async function finishAtLast<Tx>(batch: OpenBatch, { emitter }: BatchHost<Tx>, over: AbortSignal): Promise<FinishResult> {
  const deadline = performance.now() + batch.head.leaseFor
  for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    try {
      return await batch.finish()
    } catch (error) {
      const hopeless = error instanceof SluiceError && !(error instanceof ConnectionError || error instanceof StatementCancelledError)
      if (hopeless || over.aborted || performance.now() > deadline) throw error
      emitter.emit("error", { error })
      await sleep(pause, over)
    }
  }
}
