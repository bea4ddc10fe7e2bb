import { describe } from "./check.ts"
import { InvalidOptionError } from "./errors.ts"

type Unit = "ms" | "s" | "m" | "h" | "d"

/** A length of time: `"250ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"`, or 0. A bare number is refused: nobody could tell its unit. */
export type Duration = `${number}${Unit}` | 0

const MS: Readonly<Record<Unit, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A hundred years: beyond that a timestamp runs out of range before anybody waits for it. */
const LONGEST = 36_500 * MS.d

/** Milliseconds. `field` names the option in the error. */
export function milliseconds(value: Duration, field: string): number {
  if (value === 0) return 0
  const [, amount, unit] = (typeof value === "string" && /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value)) || []
  if (amount === undefined || unit === undefined) {
    const bare: unknown = value
    const advice = typeof bare === "number" ? `write "${bare}s" for seconds or "${bare}ms" for milliseconds` : `write "250ms", "30s", "5m", "2h", "1d" or 0`
    throw new InvalidOptionError(field, value, `${describe(value)} is not a duration: ${advice}`)
  }
  const ms = Number(amount) * MS[unit as Unit]
  if (ms > LONGEST) throw new InvalidOptionError(field, value, "is longer than 36500d")
  return ms
}

/** Milliseconds, at least one. */
export function positiveMilliseconds(value: Duration, field: string): number {
  const ms = milliseconds(value, field)
  if (ms < 1) throw new InvalidOptionError(field, value, "must be 1ms or longer")
  return ms
}

/** The shortest way to write it: `formatDuration(30_000)` is `"30s"`. */
export function formatDuration(ms: number): Duration {
  if (ms === 0) return 0
  const unit = (["d", "h", "m", "s"] as const).find((u) => ms % MS[u] === 0) ?? "ms"
  return `${ms / MS[unit]}${unit}`
}
