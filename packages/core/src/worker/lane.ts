import { QueueNotFoundError } from "../errors.ts"
import type { Message } from "../message.ts"
import { readBatch } from "../queue/read.ts"
import type { WakeHub } from "../wake-hub.ts"
import type { HandlerSpec } from "./handler.ts"
import { type Held, hold } from "./held.ts"
import { createSlots, type Slots } from "./slots.ts"

/** What a lane needs of its worker. */
export interface LaneHost {
  /** Calls that are claimed and have not ended, of all lanes. */
  readonly places: Slots
  readonly prefetch: number
  readonly longestPause: number
  /** Fires when no more is to be claimed. */
  readonly stopping: AbortSignal
  /** False while an operator has suspended the worker: it then begins nothing either. */
  mayClaim(): boolean
  onClaimed(helds: readonly Held[]): void
  /** How much has happened so far; a claim that finds nothing tells when it began. */
  mark(): number
  onIdle(mark: number): void
  onError(error: unknown): void
  /** Takes a place among the calls that run, of all lanes; false where there is none. */
  begin(): boolean
  /** Whether a call that was claimed a while ago may still begin. */
  mayBegin(): Promise<boolean>
  /** Runs a call to its end; false where it could not begin. Never rejects. */
  run(helds: readonly Held[]): Promise<boolean>
  giveBack(helds: readonly Held[]): Promise<void>
  /** A call that was begun has ended. */
  ended(): void
}

/** One queue of a worker: claims what there is room for, and has it handled. */
export interface Lane {
  /** Resolves when nothing more will be claimed; what was not begun is being given back. */
  claim(): Promise<void>
  /** Begins what waits, as far as it may. */
  pump(): void
  /** Gives back what was claimed and not begun. */
  giveBack(): Promise<void>
}

interface Call {
  readonly helds: readonly Held[]
  readonly at: number
}

const FIRST_PAUSE = 5
const LONGEST_ERROR_PAUSE = 30_000
/** Whoever could get no transaction for what it claimed need not claim more at once. */
const PAUSE_AFTER_REFUSAL = 1000
/** A call that was claimed longer ago than this may be of a queue that was paused meanwhile. */
export const FRESH = 400

export function createLane<Tx>(queue: string, spec: HandlerSpec<Tx>, concurrency: number, hub: WakeHub, host: LaneHost): Lane {
  const room = createSlots(concurrency + host.prefetch)
  const waiting: Call[] = []
  let running = 0
  let failures = 0
  /** The queue was dropped: nothing is in it. */
  let gone = false
  let notBefore = 0

  async function run({ helds, at }: Call): Promise<void> {
    const stale = performance.now() - at > FRESH && (!(await host.mayBegin()) || host.stopping.aborted)
    if (stale) await host.giveBack(helds)
    else if (!(await host.run(helds))) notBefore = performance.now() + PAUSE_AFTER_REFUSAL
    running--
    leave(1)
    host.ended()
  }

  function leave(calls: number): void {
    room.give(calls)
    host.places.give(calls)
  }

  function pump(): void {
    while (host.mayClaim() && running < concurrency && waiting.length > 0 && !host.stopping.aborted && host.begin()) {
      running++
      void run(waiting.shift()!)
    }
  }

  async function takeRoom(): Promise<number> {
    if (!host.mayClaim() || performance.now() < notBefore) return 0
    const mine = await room.take(concurrency + host.prefetch, host.stopping)
    const calls = await host.places.take(mine, host.stopping)
    room.give(mine - calls)
    if (host.mayClaim()) return calls
    // Suspended while it waited for a place.
    leave(calls)
    return 0
  }

  async function read(limit: number): Promise<Message[]> {
    try {
      const messages = await readBatch(spec.session, queue, spec.schema, { limit: Math.min(limit, 10_000), ...(spec.lease !== undefined && { lease: `${spec.lease}ms` as const }) })
      failures = 0
      gone = false
      return messages
    } catch (error) {
      failures++
      gone = error instanceof QueueNotFoundError
      host.onError(error)
      return []
    }
  }

  /** Claims as many calls as there is room for, and returns how many messages it found, and whether there may be more. */
  async function claimFor(calls: number): Promise<{ found: number; more: boolean }> {
    const at = performance.now()
    const messages = await read(calls * spec.size)
    const made: Call[] = []
    for (let i = 0; i < messages.length; i += spec.size) made.push({ helds: messages.slice(i, i + spec.size).map(hold), at })
    if (made.length > 0) host.onClaimed(made.flatMap(({ helds }) => helds))
    waiting.push(...made)
    leave(calls - made.length)
    pump()
    return { found: messages.length, more: messages.length === calls * spec.size }
  }

  async function giveBack(): Promise<void> {
    const rest = waiting.splice(0)
    leave(rest.length)
    await Promise.all(rest.map(({ helds }) => host.giveBack(helds)))
  }

  async function claim(): Promise<void> {
    const waker = hub.subscribe(queue)
    for (let pause = FIRST_PAUSE; !host.stopping.aborted; ) {
      const calls = await takeRoom()
      if (host.stopping.aborted) {
        leave(calls)
        break
      }
      waker.reset()
      const mark = host.mark()
      const { found, more } = calls > 0 ? await claimFor(calls) : { found: 0, more: false }
      if (more) continue
      if (found > 0) pause = FIRST_PAUSE
      else if (calls > 0 && (failures === 0 || gone)) host.onIdle(mark)
      await waker.wait(failures > 0 ? Math.min(500 * 2 ** failures, LONGEST_ERROR_PAUSE) : pause, host.stopping)
      pause = Math.min(pause * 2, host.longestPause)
    }
    waker.close()
    void giveBack()
  }

  return { claim, pump, giveBack }
}
