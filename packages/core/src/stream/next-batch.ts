import { checkSignal } from "../abort.ts"
import { checkInteger, checkOptions } from "../check.ts"
import { type Duration, milliseconds, positiveMilliseconds } from "../duration.ts"
import type { Session } from "../session.ts"
import { type EventRow, eventColumns } from "./event.ts"

/** What a batch is to hold. */
export interface BatchLimits {
  /** At most this many events, 1 to 100,000. What was taken over, or cut for another reader, keeps its size. Default 1000. */
  readonly maxEvents?: number
  /** None before there are so many, or `maxWait` is over. Default 1. */
  readonly minEvents?: number
  /** How long the oldest event waits for `minEvents` at most, from when it was published. Default: as long as it takes. */
  readonly maxWait?: Duration
  /** Only events that were committed this long ago. Costs a tick now and then. Default 0. */
  readonly minLag?: Duration
  /** How long the batch is held unless it is renewed; loops and subscribers do so every third of it. Default: the subscription's lease. */
  readonly lease?: Duration
  /** Events fetched in one statement, 1 to 10,000; the first ones come with the batch. Default 1000. */
  readonly chunk?: number
}

export const batchLimitKeys = ["maxEvents", "minEvents", "maxWait", "minLag", "lease", "chunk"] as const

export interface CheckedLimits {
  readonly maxEvents: number
  readonly minEvents: number
  readonly maxWait: number | null
  readonly minLag: number
  readonly lease: number | null
  readonly chunk: number
}

export function checkLimits({ maxEvents = 1000, minEvents = 1, maxWait, minLag = 0, lease, chunk = 1000 }: BatchLimits): CheckedLimits {
  return {
    maxEvents: checkInteger(maxEvents, "maxEvents", 1, 100_000),
    minEvents: checkInteger(minEvents, "minEvents", 1, 100_000_000),
    maxWait: maxWait === undefined ? null : milliseconds(maxWait, "maxWait"),
    minLag: milliseconds(minLag, "minLag"),
    lease: lease === undefined ? null : positiveMilliseconds(lease, "lease"),
    chunk: checkInteger(chunk, "chunk", 1, 10_000),
  }
}

export function checkLoop(options: object & { readonly signal?: AbortSignal }, more: readonly string[] = []): void {
  checkOptions(options, [...batchLimitKeys, "signal", ...more], "options")
  checkSignal(options.signal)
}

/** Who reads, and what. */
export interface Reader {
  readonly stream: string
  readonly subscription: string
  readonly owner: string
  /** Beside others, each with batches of his own; else alone. */
  readonly shared: boolean
}

export interface BatchHead {
  readonly id: string
  readonly lease: string
  readonly root: string
  readonly count: number
  readonly attempt: number
  readonly maxAttempts: number | null
  readonly retried: boolean
  readonly openedAt: number
  /** Milliseconds: how long it is leased at a time, and how long it still is. */
  readonly leaseFor: number
  readonly left: number
}

interface NextRow extends EventRow {
  readonly batch: string | null
}

/* The batch and its first events, in one round trip. */
const statement = {
  name: "next_batch",
  text: `select fault::text as fault, batch::text as batch, ${eventColumns} from {schema}.try_next_batch($1::text, $2::text, $3::text, $4::bool,
    $5::float8 * interval '1 millisecond', $6::int4, $7::int4, $8::float8 * interval '1 millisecond', $9::float8 * interval '1 millisecond', $10::bool, $11::int4)`,
}

/** `durable`: the batch is not forgotten in a crash. Else it may be, and its events come in another one. */
export async function nextBatch<Tx>(session: Session<Tx>, reader: Reader, limits: CheckedLimits, durable = false): Promise<{ head: BatchHead; rows: EventRow[] } | null> {
  const { maxEvents, minEvents, maxWait, minLag, lease, chunk } = limits
  const rows = await session.run<NextRow>(statement, [reader.stream, reader.subscription, reader.owner, reader.shared, lease, maxEvents, minEvents, maxWait, minLag, durable, chunk])
  const [first, ...events] = rows
  return first === undefined ? null : { head: JSON.parse(first.batch!) as BatchHead, rows: events }
}
