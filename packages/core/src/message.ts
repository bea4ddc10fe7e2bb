import type { JsonObject } from "./types.ts"
import { type SchemaIssue, type StandardSchema, verdictOf } from "./standard-schema.ts"

/** One message as a reader holds it. A *job* is just a message that a worker handles. */
export interface Message<Payload = unknown> {
  /** Unique in the installation; a decimal string, since it may pass 2^53. */
  readonly id: string
  readonly queue: string
  /** The output of the queue's schema; what was sent where there is none. */
  readonly payload: Payload
  /** What the schema has against the payload, which is then as it was stored. The message is leased like any other. */
  readonly invalid?: readonly SchemaIssue[]
  readonly headers: JsonObject
  /** Which delivery this is; the first is 1. */
  readonly attempt: number
  /** Lower is served first. */
  readonly priority: number
  readonly enqueuedAt: Date
  /** When the lease runs out and the message may be read by others. Null while parked. */
  readonly visibleAt: Date | null
  /**
   * Names the message to services outside that do a thing once per key: the same at every delivery, retry and redrive, whichever queue it lies in,
   * and no other message's, of this installation or another.
   */
  readonly idempotencyKey: string
  /** The lease under which this reader holds it: every settle names it. */
  readonly lease: string
}

/** A message that was deleted as it was read: there is nothing left to settle. */
export type PoppedMessage<Payload = unknown> = Omit<Message<Payload>, "lease" | "visibleAt">

/** What a settle needs to know of a message; a `Message` will do. */
export type Leased = Pick<Message, "id" | "lease">

/** A row of `try_read` and `try_pop`. */
export interface DeliveryRow {
  readonly place: number
  readonly id: string
  readonly priority: number
  readonly attempt: number
  readonly lease: string
  readonly enqueued: number
  readonly visible: number
  readonly headers: string | null
  readonly payload: string
}

export const deliveryColumns = `
  fault::text as fault, place, id::text as id, priority, attempt, lease::text as lease,
  (extract(epoch from enqueued_at) * 1000)::float8 as enqueued, (extract(epoch from visible_at) * 1000)::float8 as visible,
  headers::text as headers, payload::text as payload`

/** Rows into messages, in the order of delivery. Validates payloads; never throws for a bad one. */
export async function decodeDeliveries<Out>(
  queue: string,
  rows: DeliveryRow[],
  schema: StandardSchema<unknown, Out> | undefined,
  installation: string,
): Promise<Message<Out>[]> {
  rows.sort((a, b) => a.place - b.place)
  const messages: Message<Out>[] = []
  for (const row of rows) messages.push(await decodeDelivery(queue, row, schema, installation))
  return messages
}

async function decodeDelivery<Out>(queue: string, row: DeliveryRow, schema: StandardSchema<unknown, Out> | undefined, installation: string): Promise<Message<Out>> {
  const stored: unknown = JSON.parse(row.payload)
  const verdict = schema === undefined ? { value: stored as Out } : await verdictOf(schema, stored)
  return {
    id: row.id,
    queue,
    payload: verdict.issues ? (stored as Out) : verdict.value,
    ...(verdict.issues && { invalid: verdict.issues }),
    headers: row.headers === null ? {} : (JSON.parse(row.headers) as JsonObject),
    attempt: row.attempt,
    priority: row.priority,
    enqueuedAt: new Date(row.enqueued),
    visibleAt: new Date(row.visible),
    // A restored backup gives ids again, but not at the same time.
    idempotencyKey: `${installation}-${row.id}-${Math.floor(row.enqueued).toString(36)}`,
    lease: row.lease,
  }
}
