import { checkInteger, checkOptions } from "../check.ts"
import { decodeDeliveries, type DeliveryRow, deliveryColumns, type PoppedMessage } from "../message.ts"
import type { Session } from "../session.ts"
import type { StandardSchema } from "../standard-schema.ts"
import type { TxOption } from "../types.ts"
import { encodeFilter, type ReadFilter } from "./filter.ts"

export interface PopBatchOptions<Tx> extends TxOption<Tx> {
  /** Only messages that contain this. Default: any. */
  readonly filter?: ReadFilter
  /** At most this many, from 1 to 10,000. Default 1. */
  readonly limit?: number
}

const statement = {
  name: "pop",
  text: `select ${deliveryColumns} from {schema}.try_pop($1::text, $2::int4, $3::bool, $4::text::jsonb)`,
}

/** Reads and deletes at once. Outside a transaction that is at-most-once delivery: a reader that dies has lost the message. */
export async function popBatch<Tx, Out>(
  session: Session<Tx>,
  queue: string,
  schema: StandardSchema<unknown, Out> | undefined,
  options: PopBatchOptions<Tx>,
): Promise<PoppedMessage<Out>[]> {
  checkOptions(options, ["limit", "filter", "tx"], "options")
  const limit = checkInteger(options.limit === undefined ? 1 : options.limit, "limit", 1, 10_000)
  const filter = encodeFilter(options.filter, session.limits)
  const installation = await session.installation(options)
  const rows = await session.run<DeliveryRow>(statement, [queue, limit, options.tx === undefined, filter], options)
  const messages = await decodeDeliveries(queue, rows, schema, installation)
  return messages.map(({ lease: _lease, visibleAt: _visibleAt, ...message }) => message)
}
