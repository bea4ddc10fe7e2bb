import { checkSignal, throwIfAborted } from "../abort.ts"
import { checkInteger, checkOptions } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import type { PayloadLimits } from "../json.ts"
import { decodeDeliveries, type DeliveryRow, deliveryColumns, type Message } from "../message.ts"
import type { Session } from "../session.ts"
import type { StandardSchema } from "../standard-schema.ts"
import type { TxOption } from "../types.ts"
import { encodeFilter, type ReadFilter } from "./filter.ts"
import { releaseBatch } from "./give-back.ts"

export interface ReadOptions<Tx> extends TxOption<Tx> {
  /** Only messages that contain this. Default: any. */
  readonly filter?: ReadFilter
  /** How long the message is this reader's alone. Default: the queue's lease. */
  readonly lease?: Duration
  /** Acts between statements: what the claim in flight leased is released before the call rejects with `AbortedError`. */
  readonly signal?: AbortSignal
}

export interface ReadBatchOptions<Tx> extends ReadOptions<Tx> {
  /** At most this many, from 1 to 10,000. Default 1. */
  readonly limit?: number
}

/* The claim. Everything that keeps it flat under load is in the function `lock_ready`. */
const statement = {
  name: "read",
  text: `select ${deliveryColumns} from {schema}.try_read($1::text, $2::int4, $3::float8 * interval '1 millisecond', $4::bool, $5::text::jsonb)`,
}

export async function readBatch<Tx, Out>(
  session: Session<Tx>,
  queue: string,
  schema: StandardSchema<unknown, Out> | undefined,
  options: ReadBatchOptions<Tx>,
): Promise<Message<Out>[]> {
  const { limit, lease, filter } = checkReadOptions(options, session.limits)
  throwIfAborted(options.signal)
  // Before the claim: what is leased must reach the reader.
  const installation = await session.installation(options)
  const rows = await session.run<DeliveryRow>(statement, [queue, limit, lease, options.tx === undefined, filter], options)
  if (options.signal?.aborted && rows.length > 0) await releaseBatch(session, queue, rows, options)
  throwIfAborted(options.signal)
  return decodeDeliveries(queue, rows, schema, installation)
}

interface ReadValues {
  readonly limit: number
  readonly lease: number | null
  readonly filter: string | null
}

export function checkReadOptions<Tx>(options: ReadBatchOptions<Tx>, limits: Required<PayloadLimits>): ReadValues {
  checkOptions(options, ["limit", "lease", "filter", "tx", "signal"], "options")
  checkSignal(options.signal)
  return {
    limit: checkInteger(options.limit === undefined ? 1 : options.limit, "limit", 1, 10_000),
    lease: options.lease === undefined ? null : milliseconds(options.lease, "lease"),
    filter: encodeFilter(options.filter, limits),
  }
}
