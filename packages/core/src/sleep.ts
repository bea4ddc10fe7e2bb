import { LONGEST_TIMER } from "./timer.ts"

/** Resolves after `ms`, or when the signal aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, Math.min(ms, LONGEST_TIMER))
    signal?.addEventListener("abort", done)
  })
}
