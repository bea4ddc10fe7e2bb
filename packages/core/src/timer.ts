/** A timer that keeps no process alive. A browser's timers never do, and have no `unref`. */
export function quietTimer(work: () => void, ms: number): ReturnType<typeof setTimeout> {
  const timer = setTimeout(work, ms)
  ;(timer as { unref?: () => void }).unref?.()
  return timer
}
