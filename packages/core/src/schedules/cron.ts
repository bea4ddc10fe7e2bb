import { Cron } from "croner"
import { describe } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"

/** The first run after a time, both in epoch milliseconds; null where there is none. */
export type NextRun = (after: number) => number | null

/** Lists and ranges of hours count as fixed times when clocks change, as they do in Vixie cron. */
export function cronRuns(cron: string, timezone: string): NextRun {
  const job = new Cron(cron, { timezone, mode: "5-or-6-parts", fixedTimeRule: "no-wildcard" })
  return (after) => job.nextRun(new Date(after))?.getTime() ?? null
}

/** Refuses what the parser does, a date that it would take, and a day that never comes. */
export function checkCron(value: unknown, zone: unknown, where: string): { cron: string; timezone: string } {
  if (typeof value !== "string") throw new InvalidOptionError(`${where}.cron`, value, `must be a string, got ${describe(value)}`)
  const cron = value.trim()
  const fields = cron.split(/\s+/).length
  if (value.length > 1000 || (!cron.startsWith("@") && fields !== 5 && fields !== 6)) {
    throw new InvalidOptionError(`${where}.cron`, value, `must have 5 fields, 6 with seconds, or be a nickname such as "@daily", got ${describe(value)}`)
  }
  let next: number | null
  try {
    next = cronRuns(cron, "UTC")(0)
  } catch (error) {
    throw new InvalidOptionError(`${where}.cron`, value, `${describe(value)} is not understood: ${reason(error)}`)
  }
  if (next === null) throw new InvalidOptionError(`${where}.cron`, value, `${describe(value)} never comes`)
  return { cron, timezone: checkZone(cron, zone === undefined ? "UTC" : zone, `${where}.timezone`) }
}

function checkZone(cron: string, zone: unknown, field: string): string {
  try {
    // An empty one would be that of this process.
    if (typeof zone === "string" && zone !== "" && cronRuns(cron, zone)(0) !== null) return zone
  } catch {
    // Said below.
  }
  throw new InvalidOptionError(field, zone, `must be a time zone such as "UTC" or "Europe/Berlin", got ${describe(zone)}`)
}

const reason = (error: unknown): string => (error instanceof Error ? error.message.replace(/^CronPattern: /, "") : String(error))
