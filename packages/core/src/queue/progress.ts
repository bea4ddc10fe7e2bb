import { checkOptions, describe } from "../check.ts"
import { InvalidOptionError, StaleLeaseError } from "../errors.ts"
import type { Leased } from "../message.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"
import { checkLeased } from "./settle.ts"

const statement = {
  name: "progress",
  text: "select fault::text as fault, id::text as id from {schema}.try_progress($1::text, $2::text::bigint, $3::text::bigint, $4::float8, $5::text)",
}

/** Says how far the work on a message is; kept beside the message, for `admin.messages`. */
export async function progress<Tx>(session: Session<Tx>, queue: string, message: Leased, value: number, note: string | undefined, options: TxOption<Tx>): Promise<void> {
  checkOptions(options, ["tx"], "options")
  const { id, lease } = checkLeased(message, "message")
  checkProgress(value, note)
  const rows = await session.run<{ id: string }>(statement, [queue, id, lease, value, note ?? null], options)
  if (rows.length === 0) throw new StaleLeaseError(queue, id, lease)
}

export function checkProgress(value: unknown, note: unknown): void {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new InvalidOptionError("value", value, `must be a finite number, got ${describe(value)}`)
  if (note !== undefined && (typeof note !== "string" || note.length > 1000 || note.includes("\0") || !note.isWellFormed())) {
    throw new InvalidOptionError("note", note, `must be text of at most 1000 characters, without U+0000 and lone surrogates, got ${describe(note)}`)
  }
}
