import { setTimeout as sleep } from "node:timers/promises"
import type { Session } from "../contestant.ts"
import { thousand } from "../payloads.ts"

/** What the load has done so far. */
export interface Counters {
  sent: number
  consumed: number
  /** Milliseconds of each read that found something, since they were last taken away. */
  readTimes: number[]
}

/** Sends as much as is due, in batches of 20 to 1000, until it is told to stop. */
export async function produce(session: Session, perSecond: number, counters: Counters, stop: AbortSignal): Promise<void> {
  const started = performance.now()
  while (!stop.aborted) {
    const due = Math.floor(((performance.now() - started) / 1000) * perSecond) - counters.sent
    if (due < 20) {
      await sleep(5)
      continue
    }
    const batch = thousand.slice(0, due)
    await session.sendBatch(batch)
    counters.sent += batch.length
  }
}

/** Reads 10 and deletes them, as fast as it can, until it is told to stop. */
export async function consume(session: Session, counters: Counters, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    const started = performance.now()
    const messages = await session.readBatch(10)
    if (messages.length === 0) {
      await sleep(10)
      continue
    }
    counters.readTimes.push(performance.now() - started)
    await session.deleteBatch(messages)
    counters.consumed += messages.length
  }
}
