import { checkOneOf, checkOptions, describe } from "../check.ts"
import { type Duration, formatDuration, milliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"

/**
 * How long a failed message waits before its next attempt. After the n-th failure: `fixed` is base, `linear` n times base,
 * `exponential` base doubled n - 1 times; never more than `max`, and shortened by chance by up to `jitter` of it, so that what failed
 * together does not come back together.
 */
export interface Backoff {
  readonly kind: "fixed" | "linear" | "exponential"
  readonly base: Duration
  /** Default "10m". */
  readonly max?: Duration
  /** From 0, none, to 1: anything from no time to the whole. Default 0.2. */
  readonly jitter?: number
}

export interface StoredBackoff {
  readonly kind: Backoff["kind"]
  readonly base: number
  readonly max: number
  readonly jitter: number
}

/** As the database takes it. */
export function encodeBackoff(backoff: Backoff | null | undefined): object | null | undefined {
  if (backoff === undefined || backoff === null) return backoff
  checkOptions(backoff, ["kind", "base", "max", "jitter"], "backoff")
  checkOneOf(backoff.kind, ["fixed", "linear", "exponential"], "backoff.kind")
  const base = Math.round(milliseconds(backoff.base, "backoff.base"))
  const max = Math.round(milliseconds(backoff.max === undefined ? "10m" : backoff.max, "backoff.max"))
  if (max < base) throw new InvalidOptionError("backoff.max", backoff.max, `must be ${formatDuration(base)} or longer, as base is`)
  const jitter: unknown = backoff.jitter === undefined ? 0.2 : backoff.jitter
  if (typeof jitter !== "number" || !(jitter >= 0 && jitter <= 1)) throw new InvalidOptionError("backoff.jitter", jitter, `must be from 0 to 1, got ${describe(jitter)}`)
  return { kind: backoff.kind, base: `${base} ms`, max: `${max} ms`, jitter }
}

export function decodeBackoff(stored: StoredBackoff | null): Required<Backoff> | null {
  return stored === null ? null : { ...stored, base: formatDuration(stored.base), max: formatDuration(stored.max) }
}
