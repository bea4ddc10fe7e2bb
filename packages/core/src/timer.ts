/** A timer that is set for longer fires at once. */
export const LONGEST_TIMER: number = 2 ** 31 - 1

/** A timer that keeps no process alive. A browser's timers never do, and have no `unref`. */
export function quietTimer(work: () => void, ms: number): ReturnType<typeof setTimeout> {
  const timer = setTimeout(work, Math.min(ms, LONGEST_TIMER))
  ;(timer as { unref?: () => void }).unref?.()
  return timer
}
