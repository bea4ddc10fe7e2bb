import type { Driver, Unlisten } from "./driver.ts"
import { notifyText } from "./notifier.ts"
import { LONGEST_TIMER, quietTimer } from "./timer.ts"

/** One reader that waits for a queue. `reset` before looking: a wake that comes while it looks ends the next wait at once. */
interface Waker {
  reset(): void
  /** Resolves on a wake, after `ms`, or when the signal aborts. */
  wait(ms: number, signal?: AbortSignal): Promise<void>
  close(): void
}

/** Brings wakes to the readers of this process: from its own sends at once, from other processes by LISTEN. A hint only. */
export interface WakeHub {
  subscribe(queue: string): Waker
  /** Wakes the readers of this process. */
  wakeLocal(queue: string): void
  close(): Promise<void>
}

/** How long the LISTEN connection outlives its last reader. */
const LINGER = 5000
/** How often a subscription is proved, and how long a NOTIFY may take to come back. */
const PROVE_EVERY = 60_000
const PROOF_LIMIT = 2000
/** How long to leave a driver alone whose LISTEN could not be had, or brings nothing. */
const RETRY = 30_000
/** No queue has this name. */
const PROOF = "?"

export function createWakeHub<Tx>(driver: Driver<Tx>, channel: string, listening: boolean): WakeHub {
  const readers = new Map<string, Set<() => void>>()
  let subscription: Promise<Unlisten> | undefined
  let linger: ReturnType<typeof setTimeout> | undefined
  let proof: ReturnType<typeof setTimeout> | undefined
  let unproved = false
  let notBefore = 0
  let closed = false

  const wakeLocal = (queue: string): void => readers.get(queue)?.forEach((wake) => wake())

  function onNotify(payload: string): void {
    if (payload !== PROOF) return wakeLocal(payload)
    unproved = false
    clearTimeout(proof)
    proof = quietTimer(() => void prove(), PROVE_EVERY)
  }

  // What was notified while the connection was down is gone: everybody looks again.
  function onReady(): void {
    readers.forEach((set) => set.forEach((wake) => wake()))
    void prove()
  }

  /** A transaction pooler accepts LISTEN and brings nothing: then the connection is worth nothing, and polling does it all. */
  async function prove(): Promise<void> {
    clearTimeout(proof)
    unproved = true
    await driver.query(notifyText, [channel, PROOF]).catch(() => undefined)
    // The time runs from the commit: a busy pool says nothing of the subscription.
    if (!unproved || subscription === undefined) return
    clearTimeout(proof)
    proof = quietTimer(() => void giveUp(), PROOF_LIMIT)
  }

  function giveUp(): Promise<void> {
    notBefore = performance.now() + RETRY
    return end().catch(() => undefined)
  }

  function open(): void {
    clearTimeout(linger)
    if (closed || !listening || driver.listen === undefined || subscription !== undefined || performance.now() < notBefore) return
    const opening = driver.listen(channel, onNotify, onReady)
    subscription = opening
    opening.catch(() => (subscription === opening ? giveUp() : undefined))
  }

  async function end(): Promise<void> {
    clearTimeout(linger)
    clearTimeout(proof)
    const ending = subscription
    subscription = undefined
    const unlisten = await ending?.catch(() => undefined)
    await unlisten?.()
  }

  function subscribe(queue: string): Waker {
    open()
    const waker = createWaker(() => {
      set.delete(waker.wake)
      if (set.size === 0) readers.delete(queue)
      if (readers.size === 0) linger = quietTimer(() => void end().catch(() => undefined), LINGER)
    })
    const set = readers.get(queue) ?? new Set()
    readers.set(queue, set.add(waker.wake))
    return waker
  }

  function close(): Promise<void> {
    closed = true
    return end()
  }

  return { subscribe, wakeLocal, close }
}

function createWaker(onClose: () => void): Waker & { wake(): void } {
  let woken = false
  let end: (() => void) | undefined
  return {
    wake: () => {
      woken = true
      end?.()
    },
    reset: () => {
      woken = false
    },
    wait: (ms, signal) =>
      new Promise((resolve) => {
        if (woken || signal?.aborted) return resolve()
        end = () => {
          clearTimeout(timer)
          signal?.removeEventListener("abort", end!)
          end = undefined
          resolve()
        }
        const timer = setTimeout(end, Math.min(ms, LONGEST_TIMER))
        signal?.addEventListener("abort", end)
      }),
    close: onClose,
  }
}
