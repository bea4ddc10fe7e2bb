import { errorDocument } from "../queue/attempt-error.ts"
import type { FinishResult, OpenBatch } from "../stream/batch.ts"
import type { StreamEvent } from "../stream/event.ts"
import type { Verdict } from "../worker/outcome.ts"
import type { BatchHost } from "./call-event.ts"

/** One go at a batch, and what it decided so far. */
export interface Attempt {
  readonly told: Told[]
  /** Its handlers were at work in a transaction, which did not commit. */
  undone: boolean
}

interface Told {
  readonly event: StreamEvent
  readonly verdict: Pick<Verdict, "to" | "error">
}

/** Takes effect when the batch is finished. */
export function decide(batch: OpenBatch, event: StreamEvent, verdict: Verdict, { told }: Attempt, alone?: { readonly alone: true; readonly spared: boolean }): void {
  const { to, delay, error } = verdict
  told.push({ event, verdict })
  if (to === "done") return batch.decide(event, undefined)
  batch.decide(event, { ...alone, ...(error !== undefined && { error: errorDocument(error, batch.subscription) }), ...(delay !== undefined && { delay }), ...(to === "dead" && { dead: true }) })
}

/** What has become of the events of a batch that is finished. */
export function tell<Tx>({ dead }: FinishResult, { emitter }: BatchHost<Tx>, { told }: Attempt): void {
  const gone = new Set(dead)
  for (const { event, verdict: { to, error } } of told) {
    if (to === "done") emitter.emit("done", { event })
    else emitter.emit(gone.has(event.id) ? "dead" : "retry", { event, error })
  }
}
