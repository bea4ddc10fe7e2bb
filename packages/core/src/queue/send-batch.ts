import { checkOptions, describe } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"
import { checkBytes } from "../json.ts"
import type { Session } from "../session.ts"
import type { StandardSchema } from "../standard-schema.ts"
import { encodeOptions, encodePayload, itemText, type MessageOptions, messageOptionKeys, type SendOptions } from "./send.ts"
import { encodeSpecial, isSpecial, placeRefs, sendWith, specialKeys } from "./send-with.ts"

/** One message of a batch. Its options come before those of the batch. */
export interface BatchItem<Payload> extends MessageOptions {
  readonly payload: Payload
}

/** All of a batch travels in one statement; jsonb itself ends at 256 MiB. */
const MAX_BATCH_BYTES = 64 * 1024 * 1024

const statement = {
  name: "send_batch",
  text: `select fault::text as fault, id::text as id from {schema}.try_send_batch($1::text, $2::text::jsonb, $3::text::jsonb,
    $4::text::jsonb, $5::float8 * interval '1 millisecond', to_timestamp($6::float8 / 1000), $7::int4)`,
}

export async function sendBatch<Tx>(
  session: Session<Tx>,
  queue: string,
  schema: StandardSchema | undefined,
  items: readonly BatchItem<unknown>[],
  options: SendOptions<Tx>,
): Promise<string[]> {
  checkOptions(options, [...messageOptionKeys.filter((key) => key !== "ref"), "tx"], "options")
  if (!Array.isArray(items)) throw new InvalidOptionError("items", items, `must be an array, got ${describe(items)}`)
  const batch = encodeOptions(options, "options", session.limits)
  const payloads: string[] = []
  const itemOptions: string[] = []
  for (const [i, item] of items.entries()) {
    checkItem(item, `items[${i}]`)
    payloads.push(await encodePayload(item.payload, schema, session.limits, i))
    itemOptions.push(encodeItemOptions(session, item, i))
  }
  if (items.length === 0) return []
  if (isSpecial(options) || items.some(isSpecial)) return sendSpecial(session, queue, items, payloads, options)
  const payloadText = `[${payloads.join(",")}]`
  const optionText = itemOptions.every((text) => text === "{}") ? "[]" : `[${itemOptions.join(",")}]`
  checkBytes(payloadText + optionText, MAX_BATCH_BYTES, `The batch of ${items.length} messages`)
  const rows = await session.run<{ id: string }>(
    statement,
    [queue, payloadText, optionText, batch.headers, batch.delay, batch.at, batch.priority],
    options,
  )
  return rows.map((row) => row.id)
}

/** What an item says comes before what the batch says. */
async function sendSpecial<Tx>(session: Session<Tx>, queue: string, items: readonly BatchItem<unknown>[], payloads: readonly string[], options: SendOptions<Tx>): Promise<string[]> {
  const refs = placeRefs(items)
  const common = Object.fromEntries(Object.entries(options).filter(([key]) => (specialKeys as readonly string[]).includes(key) || ["headers", "priority"].includes(key)))
  const when = { ...(options.delay !== undefined && { delay: options.delay }), ...(options.at !== undefined && { at: options.at }) }
  const texts = items.map((item, i) => {
    const { payload: _, ...own } = item
    const whole: MessageOptions = { ...(own.delay === undefined && own.at === undefined && own.debounce === undefined ? when : {}), ...common, ...own }
    const where = `items[${i}]`
    return itemText(payloads[i]!, encodeOptions(whole, where, session.limits, i), encodeSpecial(whole, where, refs))
  })
  checkBytes(texts.join(","), MAX_BATCH_BYTES, `The batch of ${items.length} messages`)
  return (await sendWith(session, queue, texts, options)).map(({ id }) => id)
}

function checkItem(item: unknown, where: string): void {
  const known = messageOptionKeys
  // Most likely a bare payload.
  if (typeof item !== "object" || item === null || (!("payload" in item) && Object.keys(item).some((key) => !known.includes(key)))) {
    throw new InvalidOptionError(where, item, `has no payload: an item is { payload, ${messageOptionKeys.join("?, ")}? }, got ${describe(item)}`)
  }
  checkOptions(item, [...messageOptionKeys, "payload"], where)
}

function encodeItemOptions<Tx>(session: Session<Tx>, item: BatchItem<unknown>, index: number): string {
  const { headers, delay, at, priority } = encodeOptions(item, `items[${index}]`, session.limits, index)
  const fields = [
    ...(headers === null ? [] : [`"headers":${headers}`]),
    ...(delay === null ? [] : [`"delay":${delay}`]),
    ...(at === null ? [] : [`"at":${at}`]),
    ...(priority === null ? [] : [`"priority":${priority}`]),
  ]
  return `{${fields.join(",")}}`
}
