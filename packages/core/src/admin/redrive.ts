import { checkBigint, checkBoolean, checkInteger, checkOptions, describe, validateQueueName } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"
import { encodeFilter, type ReadFilter } from "../queue/filter.ts"
import { arrayText, ascendingIds } from "../queue/id-lists.ts"
import type { Session } from "../session.ts"
import type { JsonObject, TxOption } from "../types.ts"
import type { AttemptError } from "./inspect.ts"

export interface RedriveOptions<Tx> extends TxOption<Tx> {
  /** Only these. Default: any. */
  readonly ids?: readonly string[]
  /** Only messages that contain this. Default: any. */
  readonly filter?: ReadFilter
  /** At most this many, from 1 to 10,000, oldest first. Default 1000. */
  readonly limit?: number
  /** Shows what would come back, and changes nothing. Default false. */
  readonly preview?: boolean
}

/** A message as it lay dead. */
export interface DeadMessage {
  readonly id: string
  /** Where it lay: in the queue's dead-letter queue, or in the archive with outcome `dead`. */
  readonly source: "deadLetter" | "archive"
  readonly priority: number
  readonly attempt: number
  readonly enqueuedAt: Date
  readonly headers: JsonObject
  readonly payload: unknown
  readonly errors: readonly AttemptError[]
}

const statement = {
  name: "redrive",
  text: "select fault::text as fault, item::text as item from {schema}.try_redrive($1::text, $2::text::bigint[], $3::text::jsonb, $4::int4, $5::bool)",
}

export async function redrive<Tx>(session: Session<Tx>, queue: string, options: RedriveOptions<Tx>): Promise<DeadMessage[]> {
  checkOptions(options, ["ids", "filter", "limit", "preview", "tx"], "options")
  validateQueueName(queue)
  const { ids, filter, limit = 1000, preview = false } = options
  if (ids !== undefined && !Array.isArray(ids)) throw new InvalidOptionError("ids", ids, `must be an array of ids, got ${describe(ids)}`)
  const list = ids === undefined ? null : arrayText(ascendingIds(new Set(ids.map((id, i) => checkBigint(id, `ids[${i}]`)))))
  const values = [queue, list, encodeFilter(filter, session.limits), checkInteger(limit, "limit", 1, 10_000), checkBoolean(preview, "preview")]
  const rows = await session.run<{ item: string }>(statement, values, options)
  return rows.map(({ item }) => {
    const message = JSON.parse(item) as Omit<DeadMessage, "enqueuedAt"> & { enqueuedAt: number }
    return { ...message, enqueuedAt: new Date(message.enqueuedAt) }
  })
}
