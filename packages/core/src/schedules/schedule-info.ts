import { type Duration, formatDuration } from "../duration.ts"
import type { Json, JsonObject } from "../types.ts"
import type { MissedRuns } from "./schedule-options.ts"

export interface ScheduleInfo {
  readonly name: string
  readonly queue: string
  readonly cron: string | null
  readonly timezone: string | null
  readonly every: Duration | null
  readonly start: Date | null
  readonly end: Date | null
  readonly missed: MissedRuns
  readonly payload: Json
  readonly headers: JsonObject
  /** Null: the queue's default. */
  readonly priority: number | null
  readonly paused: boolean
  readonly createdAt: Date
  /** The next run. Null while paused, and when there is none before `end`. */
  readonly nextAt: Date | null
  /** What the last run that was sent was due for. */
  readonly lastAt: Date | null
  /** Why the run that is due could not be sent. It is tried again every 10 seconds; null once one was sent. */
  readonly error: { readonly message: string; readonly at: Date } | null
}

type Stored = { readonly [K in keyof ScheduleInfo]: ScheduleInfo[K] extends Date | null ? number | null : ScheduleInfo[K] }

export function decodeSchedule(text: string): ScheduleInfo {
  const { anchor: _, error, failedAt, ...info } = JSON.parse(text) as Omit<Stored, "every" | "error" | "createdAt"> & {
    createdAt: number
    anchor: number
    every: number | null
    error: string | null
    failedAt: number | null
  }
  return {
    ...info,
    every: info.every === null ? null : formatDuration(info.every),
    start: date(info.start),
    end: date(info.end),
    createdAt: new Date(info.createdAt),
    nextAt: date(info.nextAt),
    lastAt: date(info.lastAt),
    error: error === null ? null : { message: error, at: new Date(failedAt!) },
  }
}

const date = (ms: number | null): Date | null => (ms === null ? null : new Date(ms))
