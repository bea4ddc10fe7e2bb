import { throwIfAborted } from "../abort.ts"
import { checkOptions } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import { WorkerStoppedError } from "../work-errors.ts"
import { createMaintenance } from "../maintenance/maintenance.ts"
import { sleep, within } from "../sleep.ts"
import { RESULTS } from "../results.ts"
import type { Session } from "../session.ts"
import type { WakeHub } from "../wake-hub.ts"
import { type BeatAnswer, leaveWorker } from "./beat.ts"
import { createEmitter, type Emitter } from "../emitter.ts"
import { workerEvents, type WorkerEvents } from "./events.ts"
import type { Handler } from "./handler.ts"
import { createHeart } from "./heart.ts"
import { checkPool, checkWorker, type WorkerOptions } from "./options.ts"
import { FRESH } from "./lane.ts"
import { createPart, type Part } from "./part.ts"
import { createSlots } from "./slots.ts"

export interface StopOptions {
  /** How long running handlers may take to end. Then their signals fire, and their messages go back to their queues. Default "30s". */
  readonly timeout?: Duration
}

/**
 * A loop that claims messages, calls handlers and settles. Nothing that a handler or a connection does ends it: what
 * goes wrong comes as events.
 */
export interface Worker {
  readonly name: string
  /** Resolves when it is at work. Throws `QueueNotFoundError`, `PoolTooSmallError`, and where the database cannot be reached. Keeps the process alive. */
  start(): Promise<void>
  /** Claims no more, gives back at once what was not begun, waits for the handlers. Resolves when everything is settled. Called again, the shorter timeout holds. */
  stop(options?: StopOptions): Promise<void>
  /** Starts it where it was not, and stops it when its queues have nothing that is ready and no handler runs. */
  drain(): Promise<void>
  /** Starts it, lets it claim for this long, and stops it: for cron and serverless. */
  runFor(budget: Duration, options?: StopOptions): Promise<void>
  /** Calls the listener at each such event; returns what takes it away again. */
  readonly on: Emitter<WorkerEvents>["on"]
}

/** How long handlers have to end after their signals fired. */
const GRACE = 1000

export function createWorker<Tx>(session: Session<Tx>, hub: WakeHub, wake: (queue: string) => void, handlers: readonly Handler<Tx>[], options: WorkerOptions): Worker {
  const checked = checkWorker(session, handlers, options)
  const { concurrency, prefetch, name, hostname, port, signal } = checked
  const emitter = createEmitter<WorkerEvents>(workerEvents)
  const { emit } = emitter
  const onError = (error: unknown): void => emit("error", { error })
  const stopping = new AbortController()
  const calls = new Set<AbortController>()
  const places = createSlots(concurrency + prefetch)
  const maintenance = createMaintenance(session, { onError }, () => false, wake)
  let answer: BeatAnswer | undefined
  let running = 0
  /** Claims that found something, and messages that left. */
  let happened = 0
  let onQuiet: (() => void) | undefined
  let onEmpty: (() => void) | undefined
  let turn = 0
  let failing = false
  let starting: Promise<void> | undefined
  let ending: Promise<void> | undefined
  let lanesEnded: Promise<unknown> = Promise.resolve()
  let hurry: (() => void) | undefined
  const hurried = new Promise<void>((resolve) => (hurry = resolve))

  const parts: readonly Part[] = handlers.map((handler) => createPart(session, hub, handler, {
    ...checked,
    worker: name,
    onResult: () => wake(RESULTS),
    places,
    calls,
    emitter,
    stopping: stopping.signal,
    answer: () => answer,
    isInformed: () => heart.isInformed(FRESH),
    begin: () => running < concurrency && ++running > 0,
    ended: () => {
      running--
      pump()
    },
    happened: () => happened,
    onHappened: () => {
      happened++
      if (isEmpty()) onEmpty?.()
    },
    onIdle: () => {
      if (isEmpty() && parts.every(({ idleAt }) => idleAt() === happened)) onQuiet?.()
    },
  }))
  const heart = createHeart(session, {
    info: { name, hostname, port, queues: handlers.map(({ queue }) => queue) },
    lanes: () => parts.map(({ queue, lease, held }) => ({ queue, lease, held: [...held] })),
    onAnswer: (next, lanes) => {
      answer = next
      parts.forEach((part, i) => part.learn(next, lanes[i]!.held))
      // The database is back, and lanes that gave it time need not.
      if (failing) for (const { queue } of parts) hub.wakeLocal(queue)
      failing = false
      if (next.state === "stopping") void stop().catch(onError)
    },
    onError: (error) => {
      failing = true
      onError(error)
    },
  })

  const isEmpty = (): boolean => parts.every(({ held }) => held.size === 0)
  const onAbort = (): void => void stop().catch(onError)

  /** Each lane is the first in its turn: one where much waits does not keep the others waiting. */
  function pump(): void {
    turn++
    for (let i = 0; i < parts.length; i++) parts[(turn + i) % parts.length]!.lane.pump()
  }

  async function begin(): Promise<void> {
    checkPool(session.driver, handlers, concurrency)
    throwIfAborted(signal)
    answer = await heart.start()
    if (signal?.aborted) onAbort()
    if (stopping.signal.aborted) return
    signal?.addEventListener("abort", onAbort)
    if (checked.maintenance) maintenance.start()
    lanesEnded = Promise.all(parts.map(({ lane }) => lane.claim()))
  }

  async function start(): Promise<void> {
    if (ending !== undefined) throw new InvalidOptionError("start", undefined, "comes after stop: make another worker")
    starting ??= begin().catch((error: unknown) => {
      starting = undefined
      throw error
    })
    return starting
  }

  async function end(): Promise<void> {
    stopping.abort()
    signal?.removeEventListener("abort", onAbort)
    const begun = await starting?.then(() => true, () => false)
    if (begun !== true) return
    const settled = lanesEnded.then(() => new Promise<void>((resolve) => (isEmpty() ? resolve() : (onEmpty = resolve))))
    await Promise.race([settled, hurried])
    for (const call of calls) call.abort(new WorkerStoppedError(name))
    await within(settled, GRACE)
    // A handler that did not end may keep the only connection there is.
    const patience = (task: Promise<unknown>): Promise<unknown> => (calls.size === 0 ? task : within(task, GRACE))
    // What a claim in flight brings is to be given back too.
    await patience(lanesEnded)
    await within(settled, GRACE)
    await patience(Promise.all([heart.stop(), maintenance.stop()]).then(() => leaveWorker(session, name)).catch(onError))
    emit("stopped", { worker: name })
  }

  async function stop(how: StopOptions = {}): Promise<void> {
    checkOptions(how, ["timeout"], "options")
    const timeout = milliseconds(how.timeout === undefined ? "30s" : how.timeout, "timeout")
    ending ??= end()
    // Whoever asks again may be in more of a hurry.
    await within(ending, timeout)
    hurry!()
    return ending
  }

  return {
    name,
    start,
    stop,
    drain: async () => {
      // A look at a queue that was empty says nothing of what was sent since.
      happened++
      const quiet = new Promise<void>((resolve) => (onQuiet = resolve))
      await start()
      for (const { queue } of parts) hub.wakeLocal(queue)
      await Promise.race([quiet, lanesEnded])
      await stop()
    },
    runFor: async (budget, how) => {
      const ms = milliseconds(budget, "budget")
      await start()
      await sleep(ms, stopping.signal)
      await stop(how)
    },
    on: emitter.on,
  }
}
