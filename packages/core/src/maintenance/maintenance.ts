import { checkFunction, checkInteger, checkOptions } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import type { Session } from "../session.ts"
import { sleep } from "../sleep.ts"
import { tellError } from "../tell-error.ts"
import { type Counts, type MaintenanceReport, noCounts, quickRound, type Rotations, slowRound, type StuckSubscription } from "./maintain.ts"
import { warnOfStuck } from "./warn-of-stuck.ts"
import { type Fired, fireDue } from "../schedules/fire.ts"

export interface MaintenanceOptions {
  /** From one quick look at the busy queues to the next; idle ones are looked at less often. Default "250ms". */
  readonly interval?: Duration
  /** How often partitions and retention are looked at. Default "1m". */
  readonly partitionInterval?: Duration
  /** Dead rows in the message table, beyond twice the live ones, that make a flip pay. Default 20,000. */
  readonly flipAfter?: number
  /** The least time between two flips of one storage. Default "5s". */
  readonly flipPause?: Duration
  /** What a round did, after each that did something. */
  readonly onReport?: (report: MaintenanceReport) => void
  /** A subscription lags behind by more than its limit: told each `partitionInterval`. Default: a warning of the process, once an hour for each. */
  readonly onStuck?: (stuck: StuckSubscription) => void
  /** A round failed, or `onReport` threw; the next one comes after a pause. Default: nothing, since the next round tells whether it matters. What it throws is dropped. */
  readonly onError?: (error: unknown) => void
}

/**
 * Keeps storage flat (floors, flips, partitions, retention) and sends what schedules have due, ticks and rotates streams. Any process may run it, and as many as like: one
 * at a time works, by locks of its transactions. Without it everything stays correct, and nothing is lost; only dead rows are not kept in check, and schedules wait.
 */
export interface Maintenance {
  /** Starts the loop and returns at once. Keeps the process alive until `stop`, or `client.close`. Twice is once. */
  start(): void
  /** Resolves when the step in flight is done. */
  stop(): Promise<void>
  /** One whole round, now, and what it did. Rejects where a step fails. */
  run(): Promise<MaintenanceReport>
}

/** Idle rounds come this much less often, and so do those of a process that finds another at it. */
const IDLE_FACTOR = 4
/** Every queue is looked at this often, not only those with a floor. */
const ALL_EVERY = 10_000
/** Schedules are looked at this often, and when the next one that is known comes due. */
const LOOK_EVERY = 1000
const LONGEST_ERROR_PAUSE = 30_000
/** Streams of a database that was restored elsewhere wait for their repair, and the rest goes on. */
const TELL_EVERY = 10_000

/** `wake` tells the readers of a queue that a schedule sent to it. */
export function createMaintenance<Tx>(session: Session<Tx>, options: MaintenanceOptions, isClosed: () => boolean, wake: (queue: string) => void): Maintenance {
  const { interval, partitionInterval, flipAfter, flipPause } = checkMaintenance(options)
  let stopping: AbortController | undefined
  let running: Promise<void> = Promise.resolve()
  let nextAll = 0
  let nextSlow = 0
  let nextTold = 0
  /** Where the next look at schedules starts; all are looked at now and then. */
  let lookFrom: number | null = null
  let nextLookAtAll = 0
  const rotations: Rotations = new Map()
  const onStuck = options.onStuck ?? warnOfStuck()

  async function round(signal: AbortSignal): Promise<MaintenanceReport> {
    const counts = noCounts()
    const now = performance.now()
    const all = now >= nextAll
    const fault = await quickRound(session, { pause: interval * 0.8, all, flipAfter, flipPause }, counts, signal, rotations)
    if (fault !== undefined && now >= nextTold) {
      nextTold = now + TELL_EVERY
      tellError(options.onError, fault)
    }
    if (counts.ran && all) nextAll = now + ALL_EVERY
    if (counts.ran && now >= nextSlow) {
      nextSlow = now + partitionInterval
      await slowRound(session, counts, signal, onStuck)
    }
    return counts
  }

  async function keepFlat(signal: AbortSignal): Promise<number> {
    const report = await round(signal)
    if (isIdle(report)) return interval * IDLE_FACTOR * (0.75 + Math.random() / 2)
    options.onReport?.(report)
    return interval
  }

  async function sendDue(signal: AbortSignal): Promise<number> {
    const now = performance.now()
    const all = now >= nextLookAtAll
    const fired = await fireDue(session, wake, all ? null : lookFrom, signal)
    if (all) nextLookAtAll = now + ALL_EVERY
    lookFrom = fired.from
    const counts = { ...noCounts(), ran: true }
    countFired(fired, counts)
    if (!isIdle(counts)) options.onReport?.(counts)
    // Not all processes at the same moment: who comes first does it.
    return fired.wait === 0 ? 0 : Math.min(fired.wait ?? LOOK_EVERY, LOOK_EVERY) + 50 * Math.random()
  }

  /** A step returns how long to wait for the next one. */
  async function loop(step: (signal: AbortSignal) => Promise<number>, { signal }: AbortController): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      let pause: number
      try {
        pause = await step(signal)
        failures = 0
      } catch (error) {
        pause = Math.min(1000 * 2 ** failures++, LONGEST_ERROR_PAUSE)
        tellError(options.onError, error)
      }
      await sleep(pause, signal)
    }
  }

  return {
    start: () => {
      if (stopping !== undefined) return
      if (isClosed()) throw new InvalidOptionError("start", undefined, "comes after the client was closed")
      stopping = new AbortController()
      // One that was stopped just now may still be in a step.
      running = Promise.all([running, loop(keepFlat, stopping), loop(sendDue, stopping)]).then(() => undefined)
    },
    stop: async () => {
      stopping?.abort()
      stopping = undefined
      await running
    },
    run: async () => {
      const counts = noCounts()
      const { signal } = new AbortController()
      for (let wait: number | null = 0; wait === 0; ) {
        const fired = await fireDue(session, wake, null, signal)
        countFired(fired, counts)
        wait = fired.wait
      }
      await quickRound(session, { pause: 0, all: true, flipAfter, flipPause }, counts, signal, new Map())
      await slowRound(session, counts, signal, onStuck)
      return counts
    },
  }
}

function countFired({ sent, failed }: Fired, counts: Counts): void {
  counts.fired += sent
  counts.misfired += failed
}

function checkMaintenance(options: MaintenanceOptions): { interval: number; partitionInterval: number; flipAfter: number; flipPause: number } {
  checkOptions(options, ["interval", "partitionInterval", "flipAfter", "flipPause", "onReport", "onStuck", "onError"], "options")
  for (const field of ["onReport", "onStuck", "onError"] as const) {
    if (options[field] !== undefined) checkFunction(options[field], field)
  }
  const { interval = "250ms", partitionInterval = "1m", flipAfter = 20_000, flipPause = "5s" } = options
  const ms = { interval: milliseconds(interval, "interval"), partitionInterval: milliseconds(partitionInterval, "partitionInterval") }
  if (ms.interval < 10) throw new InvalidOptionError("interval", interval, "must be 10ms or longer")
  if (ms.partitionInterval < 1000) throw new InvalidOptionError("partitionInterval", partitionInterval, "must be 1s or longer")
  return { ...ms, flipAfter: checkInteger(flipAfter, "flipAfter", 0, 2_147_483_647), flipPause: milliseconds(flipPause, "flipPause") }
}

const isIdle = ({ ran: _ran, ...counts }: MaintenanceReport): boolean => Object.values(counts).every((count) => count === 0)
