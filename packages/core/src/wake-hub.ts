import type { Driver, Unlisten } from "./driver.ts"

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
/** How long to leave a driver alone whose LISTEN could not be had. */
const RETRY = 30_000

export function createWakeHub<Tx>(driver: Driver<Tx>, channel: string, listening: boolean): WakeHub {
  const readers = new Map<string, Set<() => void>>()
  let subscription: Promise<Unlisten> | undefined
  let linger: NodeJS.Timeout | undefined
  let notBefore = 0

  const wakeLocal = (queue: string): void => readers.get(queue)?.forEach((wake) => wake())
  const wakeAll = (): void => readers.forEach((set) => set.forEach((wake) => wake()))

  function open(): void {
    clearTimeout(linger)
    if (!listening || driver.listen === undefined || subscription !== undefined || performance.now() < notBefore) return
    // What was notified while the connection was down is gone: everybody looks again.
    subscription = driver.listen(channel, wakeLocal, wakeAll)
    subscription.catch(() => {
      subscription = undefined
      notBefore = performance.now() + RETRY
    })
  }

  async function close(): Promise<void> {
    clearTimeout(linger)
    const ending = subscription
    subscription = undefined
    await (await ending?.catch(() => undefined))?.()
  }

  function subscribe(queue: string): Waker {
    open()
    const waker = createWaker(() => {
      set.delete(waker.wake)
      if (set.size === 0) readers.delete(queue)
      if (readers.size === 0) linger = setTimeout(() => void close().catch(() => undefined), LINGER).unref()
    })
    const set = readers.get(queue) ?? new Set()
    readers.set(queue, set.add(waker.wake))
    return waker
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
        const timer = setTimeout(end, ms)
        signal?.addEventListener("abort", end)
      }),
    close: onClose,
  }
}
