import { checkDate, checkInteger, checkOneOf, checkOptions, describe, validateQueueName } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import { encodeJson, type PayloadLimits } from "../json.ts"
import { encodeOptions } from "../queue/send.ts"
import type { Json, JsonObject } from "../types.ts"
import { checkCron } from "./cron.ts"
import type { Timing } from "./timetable.ts"

interface Bounds {
  /** No run before this time. An interval counts from it, so it is the first run. Default: none. */
  readonly start?: Date
  /** No run at this time or later. Default: none. */
  readonly end?: Date
}

/** By the clock on the wall of a time zone. */
export interface CronTiming extends Bounds {
  /**
   * Five fields (minute, hour, day of month, month, day of week), six with seconds before them, or a nickname such as `"@daily"`.
   * A time that the clock leaves out in spring comes right after the gap, and one that it shows twice in autumn comes once,
   * except where seconds, minutes or hours are `*` or a step: those go by the time that passes.
   */
  readonly cron: string
  /** An IANA name such as `"Europe/Berlin"`. Default `"UTC"`. */
  readonly timezone?: string
  readonly every?: never
}

/** Every so often, counted from `start`, or else from when the schedule was made, and never drifting from that. */
export interface IntervalTiming extends Bounds {
  /** One second or longer. */
  readonly every: Duration
  readonly cron?: never
  readonly timezone?: never
}

export type ScheduleTiming = CronTiming | IntervalTiming

/** `"skip"`: a missed run is not made up for. `"once"`: missed runs are made up for by one. `"all"`: by all of them, in order. */
export type MissedRuns = "skip" | "once" | "all"

/** A whole schedule: what is left out has its default, whatever was there before. */
export type ScheduleOptions = ScheduleTiming & {
  readonly queue: string
  /** Default null. Checked as JSON; a schema is the readers'. */
  readonly payload?: Json
  /** Sent with each message, beside `schedule`, the name, and `scheduledFor`, the time of the run in ISO 8601. */
  readonly headers?: JsonObject
  /** As of a message. Default: that of the queue. */
  readonly priority?: number
  /**
   * What becomes of runs that nobody was there to send. A run is missed once the next one is due as well, or a minute has passed.
   * Default `"skip"`.
   */
  readonly missed?: MissedRuns
}

const timingKeys = ["cron", "timezone", "every", "start", "end"] as const
const scheduleKeys = [...timingKeys, "queue", "payload", "headers", "priority", "missed"] as const

/** JSON text of a checked schedule, as the database takes it. */
export function encodeSchedule(schedule: ScheduleOptions, limits: Required<PayloadLimits>): string {
  checkOptions(schedule, scheduleKeys, "schedule")
  validateQueueName(schedule.queue)
  const { headers, priority } = encodeOptions(schedule, "schedule", limits)
  for (const name of ["schedule", "scheduledFor"]) {
    if (headers !== null && name in schedule.headers!) throw new InvalidOptionError(`schedule.headers.${name}`, schedule.headers![name], "is set by the schedule itself")
  }
  const missed = checkOneOf(schedule.missed === undefined ? "skip" : schedule.missed, ["skip", "once", "all"], "schedule.missed")
  const payload = "payload" in schedule ? encodeJson(schedule.payload, "payload", limits) : "null"
  const { anchor: _, ...timing } = encodeTiming(schedule, "schedule", 0)
  return `${JSON.stringify({ ...timing, queue: schedule.queue, missed, priority }).slice(0, -1)},"headers":${headers},"payload":${payload}}`
}

/** For a preview of what is not stored: an interval without a start counts from `now`. */
export function checkTiming(timing: ScheduleTiming, where: string, now: number): Timing {
  checkOptions(timing, scheduleKeys, where)
  return encodeTiming(timing, where, now)
}

function encodeTiming(timing: ScheduleTiming, where: string, now: number): Timing {
  const { cron, timezone, every } = timing
  if ((cron === undefined) === (every === undefined)) {
    throw new InvalidOptionError(`${where}.cron`, cron, `a schedule has either cron or every, got ${cron === undefined ? "neither" : "both"}`)
  }
  if (cron === undefined && timezone !== undefined) throw new InvalidOptionError(`${where}.timezone`, timezone, "is for cron: an interval is the same everywhere")
  const start = timing.start === undefined ? null : checkDate(timing.start, `${where}.start`)
  const end = timing.end === undefined ? null : checkDate(timing.end, `${where}.end`)
  if (start !== null && end !== null && end <= start) throw new InvalidOptionError(`${where}.end`, timing.end, "must be after start")
  return {
    ...(cron === undefined ? { cron: null, timezone: null } : checkCron(cron, timezone, where)),
    every: every === undefined ? null : checkInterval(every, `${where}.every`),
    anchor: start ?? now,
    start,
    end,
  }
}

function checkInterval(every: Duration, field: string): number {
  const ms = Math.round(milliseconds(every, field))
  if (ms < 1000) throw new InvalidOptionError(field, every, "must be 1s or longer")
  return ms
}

export interface PreviewOptions {
  /** How many runs, 1 to 1000. Default 5. */
  readonly count?: number
  /** Runs after this time. Default: now, by the server's clock for a stored schedule, by this process's for one that is not. */
  readonly from?: Date
}

export function checkPreview({ count = 5, from }: PreviewOptions): { count: number; from: number | undefined } {
  return { count: checkInteger(count, "count", 1, 1000), from: from === undefined ? undefined : checkDate(from, "from") }
}

/** What `preview` takes: the name of a schedule, or a timing to try. */
export function checkSubject(subject: unknown): void {
  if (typeof subject !== "string" && (typeof subject !== "object" || subject === null)) {
    throw new InvalidOptionError("schedule", subject, `must be the name of a schedule or { cron } or { every }, got ${describe(subject)}`)
  }
}
