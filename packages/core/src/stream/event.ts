import { type SchemaIssue, type StandardSchema, verdictOf } from "../standard-schema.ts"
import type { JsonObject } from "../types.ts"

/** The schema of each type of event. */
export type EventSchemas = Readonly<Record<string, StandardSchema>>

/** What is published of a type, and what readers get. Without schemas anything goes. */
export type EventTypes = Readonly<Record<string, { readonly input: unknown; readonly output: unknown }>>

export type TypesOf<Schemas> = {
  readonly [Type in keyof Schemas]: Schemas[Type] extends StandardSchema<infer Input, infer Output> ? { readonly input: Input; readonly output: Output } : never
}

/** An event as one subscription reads it. */
export interface EventOf<Type extends string, Data> {
  /** Unique in the installation, a decimal string. Events of a batch come in this order; across batches an id may be lower than one before it, since transactions commit late. */
  readonly id: string
  readonly stream: string
  readonly type: Type
  /** The output of the schema of its type; what was published where there is none. */
  readonly data: Data
  /** What the schema has against the data, which is then as it was stored. */
  readonly invalid?: readonly SchemaIssue[]
  readonly key: string | null
  readonly headers: JsonObject
  /** Up to four texts beside the data, PgQ's extra1 to extra4. Of a captured table: its name, and the row before an update. */
  readonly extra: readonly [string | null, string | null, string | null, string | null]
  /** When it was published, by the clock of the server; the commit comes later. */
  readonly publishedAt: Date
  /** Which delivery to this subscription it is; the first is 1. */
  readonly attempt: number
  /** Names the event to services outside that do a thing once per key: the same at every delivery. With the subscription's name it is one per effect. */
  readonly idempotencyKey: string
}

/** The union of the types: a `switch` over `event.type` narrows `event.data`. */
export type StreamEvent<Types extends EventTypes = EventTypes> = { [Type in keyof Types & string]: EventOf<Type, Types[Type]["output"]> }[keyof Types & string]

export interface EventRow {
  readonly id: string
  readonly at: number
  readonly type: string
  readonly key: string | null
  readonly data: string | null
  readonly headers: string | null
  readonly extra1: string | null
  readonly extra2: string | null
  readonly extra3: string | null
  readonly extra4: string | null
  readonly attempt: number
}

export const eventColumns = `id::text as id, (extract(epoch from at) * 1000)::float8 as at, type, key, data::text as data, headers::text as headers, extra1, extra2, extra3, extra4, attempt`

/** What is needed to read events. */
export interface EventReader {
  readonly stream: string
  readonly schemas: EventSchemas | undefined
  readonly installation: string
}

/** Validates what has a schema; never throws for a bad one. */
export async function decodeEvents(rows: readonly EventRow[], reader: EventReader): Promise<StreamEvent[]> {
  const events: StreamEvent[] = []
  for (const row of rows) events.push(await decodeEvent(row, reader))
  return events
}

async function decodeEvent(row: EventRow, { stream, schemas, installation }: EventReader): Promise<StreamEvent> {
  const stored: unknown = row.data === null ? null : JSON.parse(row.data)
  const schema = schemas !== undefined && Object.hasOwn(schemas, row.type) ? schemas[row.type] : undefined
  const verdict = schema === undefined ? { value: stored } : await verdictOf(schema, stored)
  return {
    id: row.id,
    stream,
    type: row.type,
    data: verdict.issues ? stored : verdict.value,
    ...(verdict.issues && { invalid: verdict.issues }),
    key: row.key,
    headers: row.headers === null ? {} : (JSON.parse(row.headers) as JsonObject),
    extra: [row.extra1, row.extra2, row.extra3, row.extra4],
    publishedAt: new Date(row.at),
    attempt: row.attempt,
    idempotencyKey: `${installation}-e${row.id}-${Math.floor(row.at).toString(36)}`,
  }
}
