import { checkInteger, checkOptions } from "../check.ts"
import { type Duration, positiveMilliseconds } from "../duration.ts"
import { RateLimitedError } from "../errors.ts"

/** How fast this process may send to a queue. */
export interface SendRate {
  /** Messages in such a time, which may also come all at once. From 1 to 1,000,000. */
  readonly limit: number
  readonly per: Duration
}

/** Counts what a process sends to one queue. */
export interface SendBudget {
  readonly limit: number
  readonly ms: number
  /** Throws `RateLimitedError`. A batch larger than the limit is sent when nothing was for a while, and paid off afterwards. */
  take(count: number): void
}

export function createSendBudget(queue: string, { limit, ms }: { readonly limit: number; readonly ms: number }): SendBudget {
  let tokens = limit
  let at = performance.now()
  return {
    limit,
    ms,
    take: (count) => {
      const now = performance.now()
      tokens = Math.min(limit, tokens + ((now - at) * limit) / ms)
      at = now
      const needed = Math.min(count, limit)
      if (tokens < needed) throw new RateLimitedError(queue, Math.ceil(((needed - tokens) * ms) / limit))
      tokens -= count
    },
  }
}

export function checkSendRate(rate: SendRate): { limit: number; ms: number } {
  checkOptions(rate, ["limit", "per"], "sendRate")
  const ms = positiveMilliseconds(rate.per, "sendRate.per")
  return { limit: checkInteger(rate.limit, "sendRate.limit", 1, 1_000_000), ms }
}
