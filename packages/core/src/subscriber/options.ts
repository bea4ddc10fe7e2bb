import { checkSignal } from "../abort.ts"
import { checkBoolean, checkFunction, checkInteger, checkOneOf, checkOptions } from "../check.ts"
import type { Driver } from "../driver.ts"
import { type Duration, milliseconds, positiveMilliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import type { StreamEvent } from "../stream/event.ts"
import { type BatchLimits, batchLimitKeys, checkLimits, type CheckedLimits } from "../stream/next-batch.ts"
import { PoolTooSmallError } from "../work-errors.ts"
import type { HandlerOutcome } from "../worker/outcome.ts"

export interface SubscriberOptions extends BatchLimits {
  /** How many batches are handled at once, each by a member of its own, which share the subscription with the members of other processes. Order holds within a batch only. Default: none, but one reader at a time, in order. */
  readonly members?: number
  /** Handles each batch in a transaction of the driver's library, in which it is finished, each event in a savepoint. Default false. */
  readonly transactional?: boolean
  /** Events of a batch that are handled at once. Default 1: in order. In a transaction always one. */
  readonly concurrency?: number
  /** How long a handler may take. Then its signal fires, and the event is retried. Default: as long as it likes. */
  readonly timeout?: Duration
  /** The wait after a failed attempt; the first is 1. Default: the subscription's backoff. */
  readonly backoff?: (attempt: number, error: unknown) => Duration
  /** Decides by the error what becomes of the event: `outcome.retry`, `outcome.deadLetter` or `outcome.done`. Default, and where it returns nothing: another attempt. */
  readonly onError?: (error: unknown, event: StreamEvent) => HandlerOutcome | undefined | void
  /** What becomes of an event that the schema refuses: it is dead at once (default), or fails, and is retried. */
  readonly onInvalid?: "deadLetter" | "raise"
  /** The longest time between two looks at a stream that had nothing. Default "1s". */
  readonly pollInterval?: Duration
  /** Whether it also runs maintenance, which one process at a time needs to do. Default true. */
  readonly maintenance?: boolean
  /** Stops it, as `stop` does. */
  readonly signal?: AbortSignal
}

export interface CheckedSubscriber {
  readonly members: number
  readonly shared: boolean
  readonly transactional: boolean
  readonly concurrency: number
  readonly timeout: number | undefined
  readonly backoff: SubscriberOptions["backoff"]
  readonly onError: SubscriberOptions["onError"]
  readonly onInvalid: "deadLetter" | "raise"
  readonly longestPause: number
  readonly maintenance: boolean
  readonly signal: AbortSignal | undefined
  readonly limits: CheckedLimits
}

const keys = ["members", "transactional", "concurrency", "timeout", "backoff", "onError", "onInvalid", "pollInterval", "maintenance", "signal"] as const

export function checkSubscriber(options: SubscriberOptions): CheckedSubscriber {
  checkOptions(options, [...batchLimitKeys, ...keys], "options")
  checkSignal(options.signal)
  const { members, transactional = false, concurrency = 1, timeout, backoff, onError, onInvalid = "deadLetter", pollInterval = "1s", maintenance = true, signal, ...limits } = options
  for (const [field, value] of Object.entries({ backoff, onError })) if (value !== undefined) checkFunction(value, field)
  const longestPause = milliseconds(pollInterval, "pollInterval")
  if (longestPause < 5) throw new InvalidOptionError("pollInterval", pollInterval, "must be 5ms or longer")
  checkInteger(concurrency, "concurrency", 1, 10_000)
  if (checkBoolean(transactional, "transactional") && concurrency > 1) throw new InvalidOptionError("concurrency", concurrency, "is 1 in a transaction, which does one thing after the other; more batches at once are more members")
  return {
    members: members === undefined ? 1 : checkInteger(members, "members", 1, 1000),
    shared: members !== undefined,
    transactional,
    concurrency,
    timeout: timeout === undefined ? undefined : positiveMilliseconds(timeout, "timeout"),
    backoff,
    onError,
    onInvalid: checkOneOf(onInvalid, ["deadLetter", "raise"], "onInvalid"),
    longestPause,
    maintenance: checkBoolean(maintenance, "maintenance"),
    signal,
    limits: checkLimits(limits),
  }
}

/** A transaction holds its connection, and the other members' next batches need one too. Alone, with a pool of one, the batch is locked. */
export function checkPool<Tx>({ maxConnections }: Driver<Tx>, { transactional, members }: CheckedSubscriber): void {
  if (maxConnections === undefined || !transactional || members + 1 <= maxConnections || (maxConnections === 1 && members === 1)) return
  throw new PoolTooSmallError(members, maxConnections, "subscriber")
}
