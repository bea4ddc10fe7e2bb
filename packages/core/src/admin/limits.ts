import { checkBoolean, checkInteger, checkOptions } from "../check.ts"
import { type Duration, formatDuration, milliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"

/** At most `limit` messages in any time of this length. */
export interface RateLimit {
  /** From 1 to 1,000,000. */
  readonly limit: number
  readonly per: Duration
}

/**
 * Limits of a queue, kept in the database across all processes. With any of them claims go round the queue's groups,
 * the least recently served first; messages without a group count as one that no limit of groups concerns.
 */
export interface Limits {
  /** Messages that are held at once. Default null: no limit. */
  readonly concurrency?: number | null
  /** Messages of one group that are held at once. Default null. */
  readonly groupConcurrency?: number | null
  /** Messages that are delivered in a time. Default null. */
  readonly rateLimit?: RateLimit | null
  /** Messages of one group that are delivered in a time. Default null. */
  readonly groupRateLimit?: RateLimit | null
  /** Strict order in each group: a message is delivered when all that were sent before it are gone, also one that waits for another attempt. Default false. */
  readonly fifo?: boolean
  /** Claims go round the groups, so that one with much to do holds up no other. Default false. */
  readonly fair?: boolean
}

export const limitKeys = ["concurrency", "groupConcurrency", "rateLimit", "groupRateLimit", "fifo", "fair"] as const

/** As the database takes them. */
export function encodeLimits({ concurrency, groupConcurrency, rateLimit, groupRateLimit, fifo, fair }: Limits): object {
  for (const [field, value] of Object.entries({ concurrency, groupConcurrency })) if (value !== undefined && value !== null) checkInteger(value, field, 1, 1_000_000)
  if (fifo !== undefined) checkBoolean(fifo, "fifo")
  if (fair !== undefined) checkBoolean(fair, "fair")
  return { concurrency, groupConcurrency, rateLimit: encodeRate(rateLimit, "rateLimit"), groupRateLimit: encodeRate(groupRateLimit, "groupRateLimit"), fifo, fair }
}

function encodeRate(rate: RateLimit | null | undefined, field: string): object | null | undefined {
  if (rate === undefined || rate === null) return rate
  checkOptions(rate, ["limit", "per"], field)
  checkInteger(rate.limit, `${field}.limit`, 1, 1_000_000)
  const per = Math.round(milliseconds(rate.per, `${field}.per`))
  if (per < 1) throw new InvalidOptionError(`${field}.per`, rate.per, "must be 1ms or longer")
  return { limit: rate.limit, per: `${per} ms` }
}

export interface StoredRate {
  readonly limit: number
  readonly per: number
}

export const decodeRate = (stored: StoredRate | null): RateLimit | null => stored && { limit: stored.limit, per: formatDuration(stored.per) }
