import { QueueNotFoundError, WrongKindError } from "../errors.ts"
import { sleep } from "../sleep.ts"
import type { SettledRow } from "../queue/give-back.ts"
import type { Session } from "../session.ts"
import { type Finished, finish } from "./finish.ts"

/** Settles what the handlers of a queue finish: one statement at a time, with all that came meanwhile. */
export interface Settler {
  /** Resolves with what the database did; undefined where the lease was lost. Rejects where it could not be told before the lease ran out. */
  settle(one: Finished): Promise<SettledRow | undefined>
  /** So much waits that whoever adds more should wait himself. */
  isFull(): boolean
}

interface Pending {
  readonly one: Finished
  readonly deadline: number
  resolve(row: SettledRow | undefined): void
  reject(error: unknown): void
}

/** More would be a statement that others wait for. */
const MOST = 1000
/** In characters, of results: what is kept of many large ones at once would be longer than a string, or a value of the server's, can be. */
const MOST_RESULTS = 8 * 1024 * 1024
const PAUSE = 100

export function createSettler<Tx>(session: Session<Tx>, queue: string, worker: string, patience: () => number, onError: (error: unknown) => void): Settler {
  let pending: Pending[] = []
  let busy = false

  async function flush(): Promise<void> {
    busy = true
    for (let failures = 0; pending.length > 0; ) {
      await endOfTurn()
      const batch = distinct(pending.slice(0, room(pending)))
      try {
        const rows = await finish(session, queue, batch.map(({ one }) => one), worker)
        failures = 0
        const settled = new Set(batch)
        pending = pending.filter((entry) => !settled.has(entry))
        for (const { one, resolve } of batch) resolve(rows.get(one.message.id))
      } catch (error) {
        onError(error)
        drop(error)
        await sleep(PAUSE * 2 ** Math.min(failures++, 5))
      }
    }
    busy = false
  }

  /** What cannot be settled, or not for so long that its lease is over, is delivered again. */
  function drop(error: unknown): void {
    const hopeless = error instanceof QueueNotFoundError || error instanceof WrongKindError
    const now = performance.now()
    const gone = pending.filter(({ deadline }) => hopeless || now > deadline)
    pending = pending.filter((entry) => !gone.includes(entry))
    for (const { reject } of gone) reject(error)
  }

  return {
    settle: (one) =>
      new Promise((resolve, reject) => {
        pending.push({ one, resolve, reject, deadline: performance.now() + patience() })
        if (!busy) void flush()
      }),
    isFull: () => pending.length > MOST,
  }
}

/** When all that ended in this turn of the event loop has come: what was returned comes in fewer steps than what was thrown. */
function endOfTurn(): Promise<void> {
  const { setImmediate = setTimeout } = globalThis as { setImmediate?: (done: () => void) => unknown }
  return new Promise((resolve) => void setImmediate(resolve))
}

/** How many of those that wait go into one statement: one at least. */
function room(entries: readonly Pending[]): number {
  let length = 0
  const over = entries.slice(0, MOST).findIndex(({ one }, i) => (length += one.result?.length ?? 0) > MOST_RESULTS && i > 0)
  return over < 0 ? MOST : over
}

/** A message under two leases is settled twice, not in one statement. */
function distinct(entries: readonly Pending[]): Pending[] {
  const seen = new Set<string>()
  return entries.filter(({ one: { message } }) => !seen.has(message.id) && seen.add(message.id))
}
