import { checkOptions } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { createEmitter, type Emitter } from "../emitter.ts"
import { ConnectionError, InvalidOptionError } from "../errors.ts"
import { createMaintenance } from "../maintenance/maintenance.ts"
import { errorDocument } from "../queue/attempt-error.ts"
import type { Session } from "../session.ts"
import { sleep, within } from "../sleep.ts"
import type { OpenBatch } from "../stream/batch.ts"
import type { EventSchemas } from "../stream/event.ts"
import { keepLease } from "../stream/keep-lease.ts"
import { openNext } from "../stream/subscription.ts"
import type { Transactions } from "../transactions.ts"
import type { WakeHub } from "../wake-hub.ts"
import { WorkerStoppedError } from "../work-errors.ts"
import type { StopOptions } from "../worker/worker.ts"
import { type SubscriberEvents, subscriberEvents } from "./events.ts"
import { handleBatch, isLost } from "./handle-batch.ts"
import { chooser } from "./handlers.ts"
import { checkPool, checkSubscriber, type SubscriberOptions } from "./options.ts"

/**
 * A loop that has the events of a subscription handled, batch after batch, as a worker does messages: nothing that a handler or a
 * connection does ends it. A failing event is retried by itself, and the others go on.
 */
export interface Subscriber {
  readonly stream: string
  readonly subscription: string
  /** Resolves when it reads. Throws `StreamNotFoundError`, `SubscriptionNotFoundError`, `SubscriptionExpiredError`, `PoolTooSmallError`, and where the database cannot be reached. Keeps the process alive. */
  start(): Promise<void>
  /** Reads no more, and ends the batches that it has; those that take longer than the timeout (default "30s") are given back. */
  stop(options?: StopOptions): Promise<void>
  /** Starts it where it was not, and stops it when there is nothing to read and nothing is being handled. */
  drain(): Promise<void>
  /** Starts it, lets it read for this long, and stops it. */
  runFor(budget: Duration, options?: StopOptions): Promise<void>
  /** Calls the listener at each such event; returns what takes it away again. */
  readonly on: Emitter<SubscriberEvents>["on"]
}

const FIRST_PAUSE = 5
const LONGEST_ERROR_PAUSE = 30_000
/** How long handlers have to end after their signals fired. */
const GRACE = 1000

export interface SubscriberParts<Tx> {
  readonly session: Session<Tx>
  readonly hub: WakeHub
  readonly transactions: Transactions<Tx>
  readonly wake: (name: string) => void
  readonly stream: string
  readonly subscription: string
  readonly schemas: EventSchemas | undefined
}

export function createSubscriber<Tx>({ session, hub, transactions, wake, stream, subscription, schemas }: SubscriberParts<Tx>, handlers: unknown, options: SubscriberOptions): Subscriber {
  const checked = checkSubscriber(options)
  const choose = chooser<Tx>(handlers)
  const { members, shared, longestPause, limits, signal } = checked
  const emitter = createEmitter<SubscriberEvents>(subscriberEvents)
  const { emit } = emitter
  const onError = (error: unknown): void => emit("error", { error })
  const stopping = new AbortController()
  const hurry = new AbortController()
  const maintenance = createMaintenance(session, { onError }, () => false, wake)
  const host = { session, transactions, choose, options: checked, emitter, hurry: hurry.signal }
  const base = crypto.randomUUID().slice(0, 8)
  const owners = Array.from({ length: members }, (_, i) => `${(globalThis as { process?: { pid?: number } }).process?.pid ?? "subscriber"}-${base}-${i + 1}`)
  /** What has happened so far; a member that finds nothing tells when it looked. */
  let happened = 0
  const idleAt = owners.map(() => -1)
  let busy = 0
  let onQuiet: (() => void) | undefined
  let starting: Promise<void> | undefined
  let ending: Promise<void> | undefined
  let loops: Promise<unknown> = Promise.resolve()

  /** Handles a batch to its end, whatever that is. */
  async function serve(batch: OpenBatch): Promise<void> {
    const started = performance.now()
    const letGo = keepLease(batch)
    emit("batch", { id: batch.id, count: batch.count, attempt: batch.attempt })
    try {
      await handleBatch(batch, host)
      emit("finished", { id: batch.id, count: batch.count, ms: performance.now() - started })
    } catch (error) {
      await giveUp(batch, error)
    } finally {
      letGo()
    }
  }

  /** The batch whose connection was lost the last time: once is nobody's fault. */
  let lastCut: string | undefined

  /** Why a batch as a whole was not finished decides who gets it next. */
  async function giveUp(batch: OpenBatch, error: unknown): Promise<void> {
    if (isLost(error) || batch.signal.aborted) return emit("lost", { id: batch.id })
    try {
      if (stopping.signal.aborted && (hurry.signal.aborted || error instanceof ConnectionError)) return await batch.release()
      onError(error)
      const known = batch.head.root === lastCut
      lastCut = batch.head.root
      if (error instanceof ConnectionError && !known) return
      // The transaction of all could not be committed: each has one of its own next.
      await batch.list()
      batch.setApart(errorDocument(error, subscription), undefined)
      await batch.finish()
    } catch (again) {
      if (isLost(again)) emit("lost", { id: batch.id })
      else onError(again)
    }
  }

  async function loop(member: number): Promise<void> {
    const waker = hub.subscribe(stream)
    const reader = { stream, subscription, owner: owners[member]!, shared }
    for (let pause = FIRST_PAUSE, failures = 0; !stopping.signal.aborted; ) {
      waker.reset()
      const mark = happened
      busy++
      let batch: OpenBatch | null = null
      try {
        batch = await openNext(session, reader, schemas, limits)
        failures = 0
      } catch (error) {
        failures++
        onError(error)
      }
      if (batch !== null) {
        pause = FIRST_PAUSE
        if (stopping.signal.aborted) await batch.release().catch(onError)
        else await serve(batch)
        happened++
      }
      busy--
      if (batch !== null) continue
      if (failures === 0) tellIdle(member, mark)
      await waker.wait(failures > 0 ? Math.min(500 * 2 ** failures, LONGEST_ERROR_PAUSE) : pause, stopping.signal)
      pause = Math.min(pause * 2, longestPause)
    }
    waker.close()
  }

  function tellIdle(member: number, mark: number): void {
    idleAt[member] = mark
    emit("idle", { member: owners[member]! })
    if (busy === 0 && idleAt.every((at) => at === happened)) onQuiet?.()
  }

  async function begin(): Promise<void> {
    checkPool(session.driver, checked)
    signal?.throwIfAborted()
    await session.run(probe, [stream, subscription])
    if (stopping.signal.aborted) return
    signal?.addEventListener("abort", onAbort)
    if (checked.maintenance) maintenance.start()
    loops = Promise.all(owners.map((_, member) => loop(member)))
  }

  const onAbort = (): void => void stop().catch(onError)

  async function start(): Promise<void> {
    if (ending !== undefined) throw new InvalidOptionError("start", undefined, "comes after stop: make another subscriber")
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
    await loops
    await maintenance.stop()
    emit("stopped", { subscription })
  }

  async function stop(how: StopOptions = {}): Promise<void> {
    checkOptions(how, ["timeout"], "options")
    const timeout = milliseconds(how.timeout === undefined ? "30s" : how.timeout, "timeout")
    ending ??= end()
    await within(ending, timeout)
    hurry.abort(new WorkerStoppedError(subscription))
    await within(ending, GRACE)
    return ending
  }

  return {
    stream,
    subscription,
    start,
    stop,
    drain: async () => {
      happened++
      const quiet = new Promise<void>((resolve) => (onQuiet = resolve))
      await start()
      hub.wakeLocal(stream)
      await Promise.race([quiet, new Promise<void>((resolve) => stopping.signal.addEventListener("abort", () => resolve()))])
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

/** Says early what is not there. */
const probe = { name: "probe_subscription", text: "select {schema}.reading_probe($1::text, $2::text)::text as fault" }
