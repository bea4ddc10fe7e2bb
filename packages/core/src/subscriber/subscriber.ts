import { throwIfAborted } from "../abort.ts"
import { checkOptions } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { createEmitter, type Emitter } from "../emitter.ts"
import { InvalidOptionError } from "../errors.ts"
import { createMaintenance } from "../maintenance/maintenance.ts"
import type { Session } from "../session.ts"
import { sleep, within } from "../sleep.ts"
import type { OpenBatch } from "../stream/batch.ts"
import type { EventSchemas } from "../stream/event.ts"
import { keepLease } from "../stream/keep-lease.ts"
import type { Reader } from "../stream/next-batch.ts"
import { isGone } from "../stream-errors.ts"
import { openNext } from "../stream/subscription.ts"
import type { Transactions } from "../transactions.ts"
import type { WakeHub } from "../wake-hub.ts"
import { WorkerStoppedError } from "../work-errors.ts"
import type { StopOptions } from "../worker/worker.ts"
import type { Attempt } from "./attempt.ts"
import { type SubscriberEvents, subscriberEvents } from "./events.ts"
import { giveUp, type Memory } from "./give-up.ts"
import { handleBatch } from "./handle-batch.ts"
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
  const hurried = new Promise<void>((resolve) => hurry.signal.addEventListener("abort", () => resolve()))
  const maintenance = createMaintenance(session, { onError }, () => false, wake)
  const host = { session, transactions, choose, options: checked, emitter, stopping: stopping.signal, hurry: hurry.signal }
  const owners = ownersFor(members)
  /** What has happened so far; a member that finds nothing tells when it looked. */
  let happened = 0
  const idleAt = owners.map(() => -1)
  let busy = 0
  let onQuiet: (() => void) | undefined
  let starting: Promise<void> | undefined
  let ending: Promise<void> | undefined
  let loops: Promise<unknown> = Promise.resolve()

  /** Handles a batch as far as it goes; false: it is still open, and fails for no reason of its own. */
  async function serve(batch: OpenBatch, memory: Memory): Promise<boolean> {
    const started = performance.now()
    const attempt: Attempt = { told: [], undone: false }
    const letGo = keepLease(batch)
    emit("batch", { id: batch.id, count: batch.count, attempt: batch.attempt })
    try {
      await handleBatch(batch, host, attempt)
      memory.failed = undefined
      emit("finished", { id: batch.id, count: batch.count, ms: performance.now() - started })
      return true
    } catch (error) {
      return await giveUp(batch, host, attempt, error, memory)
    } finally {
      letGo()
    }
  }

  async function take(reader: Reader, memory: Memory): Promise<Turn> {
    let batch: OpenBatch | null
    try {
      batch = await openNext(session, reader, schemas, limits)
    } catch (error) {
      onError(error)
      return isGone(error) ? "gone" : "refused"
    }
    if (batch === null) return "nothing"
    if (!stopping.signal.aborted) return (await serve(batch, memory)) ? "served" : "failed"
    await batch.release().catch(onError)
    return "served"
  }

  async function loop(member: number): Promise<void> {
    const waker = hub.subscribe(stream)
    const reader = { stream, subscription, owner: owners[member]!, shared }
    const memory: Memory = {}
    for (let pause = FIRST_PAUSE, failures = 0; !stopping.signal.aborted; ) {
      waker.reset()
      const mark = happened
      busy++
      const turn = await take(reader, memory)
      busy--
      failures = turn === "served" || turn === "nothing" ? 0 : failures + 1
      if (turn === "served" || turn === "failed") happened++
      else if (turn !== "refused") tellIdle(member, mark)
      if (turn === "served") pause = FIRST_PAUSE
      else if (turn === "failed") await sleep(errorPause(failures), stopping.signal)
      else {
        await waker.wait(failures > 0 ? errorPause(failures) : pause, stopping.signal)
        pause = Math.min(pause * 2, longestPause)
      }
    }
    waker.close()
    if (memory.failed?.hasEnded() === false) await memory.failed.release().catch(onError)
  }

  let calledAt = -1

  function tellIdle(member: number, mark: number): void {
    idleAt[member] = mark
    emit("idle", { member: owners[member]! })
    if (busy > 0 || onQuiet === undefined) return
    if (idleAt.every((at) => at === happened)) return onQuiet()
    // Others that wait have not looked since; called once, so that one that cannot look does not make the rest busy.
    if (calledAt === happened) return
    calledAt = happened
    hub.wakeLocal(stream)
  }

  async function begin(): Promise<void> {
    checkPool(session.driver, checked)
    throwIfAborted(signal)
    await session.run(probe, [stream, subscription])
    if (signal?.aborted) onAbort()
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
    const over = Promise.all([loops, maintenance.stop()]).catch(onError)
    await Promise.race([over, hurried])
    // A handler in a transaction that does not end is not waited for.
    await within(over, GRACE)
    emit("stopped", { subscription })
  }

  async function stop(how: StopOptions = {}): Promise<void> {
    checkOptions(how, ["timeout"], "options")
    const timeout = milliseconds(how.timeout === undefined ? "30s" : how.timeout, "timeout")
    ending ??= end()
    // Whoever asks again may be in more of a hurry.
    await within(ending, timeout)
    hurry.abort(new WorkerStoppedError(subscription))
    return ending
  }

  return {
    stream,
    subscription,
    start,
    stop,
    drain: async () => {
      // A look that found nothing says nothing of what was published since.
      happened++
      const quiet = new Promise<void>((resolve) => (onQuiet = resolve))
      await start()
      hub.wakeLocal(stream)
      await Promise.race([quiet, loops])
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

/** What came of a look: `refused` could not look, `failed` has a batch that stays open, `gone` has no subscription to read. */
type Turn = "served" | "nothing" | "refused" | "failed" | "gone"

const errorPause = (failures: number): number => Math.min(500 * 2 ** failures, LONGEST_ERROR_PAUSE)

function ownersFor(members: number): string[] {
  const base = `${(globalThis as { process?: { pid?: number } }).process?.pid ?? "subscriber"}-${crypto.randomUUID().slice(0, 8)}`
  return Array.from({ length: members }, (_, i) => `${base}-${i + 1}`)
}

/** Says early what is not there. */
const probe = { name: "probe_subscription", text: "select {schema}.reading_probe($1::text, $2::text)::text as fault" }
