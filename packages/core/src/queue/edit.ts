import { checkBigint, checkDate, checkOptions } from "../check.ts"
import type { Session } from "../session.ts"
import type { StandardSchema } from "../standard-schema.ts"
import type { TxOption } from "../types.ts"
import { encodeOptions, encodePayload, type MessageOptions } from "./send.ts"
import { checkText, type SpecialOptions } from "./send-with.ts"

/** What is to be different. What is left out stays. */
export interface MessageChanges<Payload> extends Omit<MessageOptions, keyof SpecialOptions>, Pick<SpecialOptions, "group"> {
  readonly payload?: Payload
  /** Null: never. */
  readonly expireAt?: Date | null
}

/** `"held"`: a reader has it by now, and nothing was changed. */
export type EditOutcome = "edited" | "held"

const statement = { name: "edit", text: "select fault::text as fault, outcome from {schema}.try_edit($1::text, $2::text::bigint, $3::text::jsonb)" }

/** Changes a message that waits; null where there is none. */
export async function edit<Tx>(session: Session<Tx>, queue: string, schema: StandardSchema | undefined, id: string, changes: MessageChanges<unknown>, options: TxOption<Tx>): Promise<EditOutcome | null> {
  checkOptions(options, ["tx"], "options")
  checkOptions(changes, ["payload", "delay", "at", "priority", "headers", "group", "expireAt"], "changes")
  checkBigint(id, "id")
  const { expireAt: until, ...others } = changes
  const { headers, delay, at, priority } = encodeOptions(others, "changes", session.limits)
  const group = changes.group === undefined ? null : checkText(changes.group, "changes.group")
  const expireAt = until === undefined || until === null ? until : checkDate(until, "changes.expireAt")
  const members = [
    ...(changes.payload === undefined ? [] : [`"payload":${await encodePayload(changes.payload, schema, session.limits)}`]),
    ...(headers === null ? [] : [`"headers":${headers}`]),
    ...Object.entries({ delay, at, priority, group }).flatMap(([key, value]) => (value === null ? [] : [`"${key}":${JSON.stringify(value)}`])),
    ...(expireAt === undefined ? [] : [`"expireAt":${String(expireAt)}`]),
  ]
  const rows = await session.run<{ outcome: EditOutcome }>(statement, [queue, id, `{${members.join(",")}}`], options)
  return rows[0]?.outcome ?? null
}
