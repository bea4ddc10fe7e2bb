import { checkDate, checkInteger, checkOptions } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { InvalidOptionError, PayloadInvalidError } from "../errors.ts"
import { encodeHeaders, encodeJson, type PayloadLimits } from "../json.ts"
import type { Session } from "../session.ts"
import { issuePath, type StandardSchema } from "../standard-schema.ts"
import type { JsonObject, TxOption } from "../types.ts"
import { encodeSpecial, isSpecial, sendWith, type SpecialOptions, specialKeys } from "./send-with.ts"

/** What may be said of one message. */
export interface MessageOptions extends SpecialOptions {
  /** Not delivered before this long from now, by the server's clock. Default 0. */
  readonly delay?: Duration
  /** Not delivered before this time; the past means now. Instead of `delay`. */
  readonly at?: Date
  /** From 0, served first, to the queue's levels - 1. Default 1, or 0 on a queue of one level. */
  readonly priority?: number
  /** Carried beside the payload, for tracing and routing. */
  readonly headers?: JsonObject
}

export type SendOptions<Tx> = Omit<MessageOptions, "ref"> & TxOption<Tx>

export const messageOptionKeys: readonly string[] = ["delay", "at", "priority", "headers", ...specialKeys] as const

/* One static function of the schema: planned once a connection, even unprepared. */
const statement = {
  name: "send",
  text: `select fault::text as fault, id::text as id from {schema}.try_send($1::text, $2::text::jsonb, $3::text::jsonb,
    $4::float8 * interval '1 millisecond', to_timestamp($5::float8 / 1000), $6::int4)`,
}

export async function send<Tx>(
  session: Session<Tx>,
  queue: string,
  schema: StandardSchema | undefined,
  payload: unknown,
  options: SendOptions<Tx>,
): Promise<string> {
  checkOptions(options, [...messageOptionKeys.filter((key) => key !== "ref"), "tx"], "options")
  const text = await encodePayload(payload, schema, session.limits)
  const message = encodeOptions(options, "options", session.limits)
  if (isSpecial(options)) return (await sendWith(session, queue, [itemText(text, message, encodeSpecial(options, "options", NO_REFS))], options))[0]!.id
  const rows = await session.run<{ id: string }>(
    statement,
    [queue, text, message.headers, message.delay, message.at, message.priority],
    options,
  )
  return rows[0]!.id
}

const NO_REFS: ReadonlyMap<string, number> = new Map()

/** A message as `try_send_with` takes it. */
export function itemText(payload: string, { headers, delay, at, priority }: EncodedOptions, special: Record<string, unknown>): string {
  const plain = Object.entries({ delay, at, priority, ...special }).filter(([, value]) => value !== null)
  return `{"payload":${payload}${headers === null ? "" : `,"headers":${headers}`}${plain.map(([key, value]) => `,"${key}":${JSON.stringify(value)}`).join("")}}`
}

/** Validates the input, and returns the *input* as JSON text: the schema's output is made anew at every read. */
export async function encodePayload(
  payload: unknown,
  schema: StandardSchema | undefined,
  limits: Required<PayloadLimits>,
  index?: number,
): Promise<string> {
  const text = encodeJson(payload, "payload", limits, index)
  const verdict = await schema?.["~standard"].validate(payload)
  const issue = verdict?.issues?.[0]
  if (issue !== undefined) throw new PayloadInvalidError(issuePath(issue, "payload"), issue.message, { index, issues: verdict?.issues })
  return text
}

export interface EncodedOptions {
  readonly headers: string | null
  readonly delay: number | null
  readonly at: number | null
  readonly priority: number | null
}

export function encodeOptions(options: MessageOptions, where: string, limits: Required<PayloadLimits>, index?: number): EncodedOptions {
  if (options.delay !== undefined && options.at !== undefined) {
    throw new InvalidOptionError(`${where}.at`, options.at, "cannot be given together with delay")
  }
  const { headers } = options
  return {
    headers: headers === undefined ? null : encodeHeaders(headers, `${where}.headers`, limits, index),
    delay: options.delay === undefined ? null : milliseconds(options.delay, `${where}.delay`),
    at: options.at === undefined ? null : checkDate(options.at, `${where}.at`),
    priority: options.priority === undefined ? null : checkInteger(options.priority, `${where}.priority`, 0, 15),
  }
}
