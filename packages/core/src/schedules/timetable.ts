import { cronRuns, type NextRun } from "./cron.ts"

/** All that the runs of a schedule are computed from. Times and lengths in milliseconds. */
export interface Timing {
  readonly cron: string | null
  readonly timezone: string | null
  readonly every: number | null
  /** Where an interval counts from. */
  readonly anchor: number
  readonly start: number | null
  readonly end: number | null
}

/** The last millisecond of the year 9999. */
const LAST = 253_402_300_799_999

export function timetable({ cron, timezone, every, anchor, start, end }: Timing): NextRun {
  const nextRun = cron === null ? intervalRuns(every!, anchor) : cronRuns(cron, timezone!)
  return (after) => {
    const run = nextRun(start === null ? after : Math.max(after, start - 1))
    return run === null || run > LAST || (end !== null && run >= end) ? null : run
  }
}

/** Without a start the anchor is when the schedule was made, and `after` is never before it: the first run is one interval later. */
function intervalRuns(every: number, anchor: number): NextRun {
  return (after) => anchor + Math.max(0, Math.floor((after - anchor) / every) + 1) * every
}
