import type { NextRun } from "./cron.ts"
import type { MissedRuns } from "./schedule-options.ts"

export interface RunPlan {
  /** Times of the runs to send now, in order. */
  readonly times: number[]
  /** The run after them; may be due, too, where there are more than `limit` to catch up with. */
  readonly next: number | null
}

/** From this age a run counts as missed even where the next one is not due. */
const GRACE = 60_000

/** What to do about a schedule whose run `due` has come. */
export function planRuns(nextRun: NextRun, missed: MissedRuns, due: number, now: number, limit: number): RunPlan {
  if (missed === "all") return allRuns(nextRun, due, now, limit)
  const last = lastRun(nextRun, due, now)
  return { times: missed === "skip" && now - last > GRACE ? [] : [last], next: nextRun(now) }
}

function allRuns(nextRun: NextRun, due: number, now: number, limit: number): RunPlan {
  const times = [due]
  for (;;) {
    const next = nextRun(times.at(-1)!)
    if (next === null || next > now || times.length === limit) return { times, next }
    times.push(next)
  }
}

/** The last run that has come, found by bisection: there may be millions since `due`. */
function lastRun(nextRun: NextRun, due: number, now: number): number {
  let last = due
  for (let end = now; end > last; ) {
    const middle = last + Math.floor((end - last) / 2)
    const run = nextRun(middle)
    if (run !== null && run <= now) last = run
    else end = middle
  }
  return last
}
