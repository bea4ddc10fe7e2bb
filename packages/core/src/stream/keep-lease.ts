import { isGone, StaleBatchError } from "../stream-errors.ts"
import { quietTimer } from "../timer.ts"
import type { OpenBatch } from "./batch.ts"

/** Renews the lease of a batch every third of it until told to stop. Without a connection it tries again: the lease may hold that long. */
export function keepLease(batch: OpenBatch): () => void {
  const { leaseFor, left } = batch.head
  let timer: ReturnType<typeof setTimeout>
  let stopped = false

  function plan(ms: number): void {
    timer = quietTimer(() => void renew(), Math.max(ms / 3, 5))
  }

  async function renew(): Promise<void> {
    try {
      await batch.renew()
    } catch (error) {
      // What was lost has told its signal.
      if (error instanceof StaleBatchError) return
      if (isGone(error)) return batch.lose()
    }
    if (!stopped && !batch.hasEnded()) plan(leaseFor)
  }

  // One that was open already may have little left.
  plan(Math.min(left, leaseFor))
  return () => {
    stopped = true
    clearTimeout(timer)
  }
}
