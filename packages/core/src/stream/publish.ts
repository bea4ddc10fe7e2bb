import { checkOptions, describe } from "../check.ts"
import { InvalidOptionError, PayloadInvalidError } from "../errors.ts"
import { checkBytes, encodeHeaders, encodeJson } from "../json.ts"
import type { Session } from "../session.ts"
import { issuePath } from "../standard-schema.ts"
import type { JsonObject, TxOption } from "../types.ts"
import type { EventSchemas, EventTypes } from "./event.ts"

/** What may be said of an event beside its data. */
export interface EventOptions {
  /** Names what the event is about, such as the id of an order; up to 500 characters. Nothing is unique about it, and nothing is ordered or filtered by it. */
  readonly key?: string
  /** Carried beside the data, for tracing and routing. */
  readonly headers?: JsonObject
  /** Up to four texts, PgQ's extra1 to extra4; those left out are null. */
  readonly extra?: readonly (string | null)[]
}

export type PublishOptions<Tx> = EventOptions & TxOption<Tx>

/** One event of a batch. */
export type PublishItem<Types extends EventTypes> = { [Type in keyof Types & string]: EventOptions & { readonly type: Type; readonly data: Types[Type]["input"] } }[keyof Types & string]

/** All of a batch travels in one statement; jsonb itself ends at 256 MiB. */
const MAX_BATCH_BYTES = 64 * 1024 * 1024

export const eventKeys = ["key", "headers", "extra"] as const

const statement = { name: "publish", text: "select fault::text as fault, id::text as id from {schema}.try_publish($1::text, $2::text::jsonb)" }

/** Appends events in one statement, in the caller's transaction where one is given, and returns their ids in order. */
export async function publish<Tx>(session: Session<Tx>, stream: string, texts: readonly string[], options: TxOption<Tx>): Promise<string[]> {
  const text = `[${texts.join(",")}]`
  checkBytes(text, MAX_BATCH_BYTES, `The batch of ${texts.length} events`)
  const rows = await session.run<{ id: string }>(statement, [stream, text], { tx: options.tx })
  return rows.map(({ id }) => id)
}

export async function encodeItems<Tx>(session: Session<Tx>, schemas: EventSchemas | undefined, items: readonly unknown[]): Promise<string[]> {
  if (!Array.isArray(items)) throw new InvalidOptionError("items", items, `must be an array, got ${describe(items)}`)
  const texts: string[] = []
  for (const [i, item] of items.entries() as ArrayIterator<[number, { type: string; data: unknown } & EventOptions]>) {
    checkOptions(item, ["type", "data", ...eventKeys], `items[${i}]`)
    texts.push(await encodeEvent(session, schemas, item.type, item.data, item, i))
  }
  return texts
}

/** An event as `try_publish` takes it. The schema's *input* is stored: its output is made anew at every read. */
export async function encodeEvent<Tx>(session: Session<Tx>, schemas: EventSchemas | undefined, type: string, data: unknown, options: EventOptions, index?: number): Promise<string> {
  const where = index === undefined ? "" : `items[${index}].`
  checkText(type, 1, 255, `${where}type`)
  const text = encodeJson(data, "data", session.limits, index)
  await validate(schemas, type, data, `${where}type`, index)
  const { key, headers, extra = [] } = options
  if (key !== undefined) checkText(key, 0, 500, `${where}key`)
  checkExtra(extra, `${where}extra`)
  const fields = [
    `"type":${JSON.stringify(type)}`,
    `"data":${text}`,
    ...(key === undefined ? [] : [`"key":${JSON.stringify(key)}`]),
    ...(headers === undefined ? [] : [`"headers":${encodeHeaders(headers, `${where}headers`, session.limits, index)}`]),
    ...extra.map((value, i) => `"extra${i + 1}":${JSON.stringify(value)}`),
  ]
  return `{${fields.join(",")}}`
}

async function validate(schemas: EventSchemas | undefined, type: string, data: unknown, field: string, index: number | undefined): Promise<void> {
  if (schemas === undefined) return
  if (!Object.hasOwn(schemas, type)) throw new InvalidOptionError(field, type, `is no event of this stream; there are ${Object.keys(schemas).join(", ")}`)
  const verdict = await schemas[type]!["~standard"].validate(data)
  const issue = verdict.issues?.[0]
  if (issue !== undefined) throw new PayloadInvalidError(issuePath(issue, "data"), issue.message, { index, issues: verdict.issues })
}

function checkExtra(extra: readonly (string | null)[], field: string): void {
  if (!Array.isArray(extra) || extra.length > 4) throw new InvalidOptionError(field, extra, `must be an array of up to four texts, got ${describe(extra)}`)
  // A hole in the array is no null.
  Array.from(extra).forEach((value: unknown, i) => value !== null && checkText(value, 0, Number.MAX_SAFE_INTEGER, `${field}[${i}]`))
}

function checkText(value: unknown, min: number, max: number, field: string): void {
  if (typeof value !== "string" || value.length < min || value.length > max || value.includes("\0") || !value.isWellFormed()) {
    throw new InvalidOptionError(field, value, `must be a string${max < 1000 ? ` of ${min} to ${max} characters` : ""} without U+0000 and lone surrogates, got ${describe(value)}`)
  }
}
