import type { Leased } from "../message.ts"
import type { Session } from "../session.ts"
import { settleBatch, settleOne, type SettleOptions, type SettleResult } from "./settle.ts"

const statement = {
  name: "release",
  text: "select fault::text as fault, id::text as id from {schema}.try_release($1::text, $2::text::bigint[], $3::text::bigint[])",
}

/** Hands a message back before its lease ends. The attempt stays counted: it was a delivery. */
export function release<Tx>(session: Session<Tx>, queue: string, message: Leased, options: SettleOptions<Tx>): Promise<void> {
  return settleOne(session, statement, queue, message, options)
}

export function releaseBatch<Tx>(session: Session<Tx>, queue: string, messages: readonly Leased[], options: SettleOptions<Tx>): Promise<SettleResult> {
  return settleBatch(session, statement, queue, messages, options)
}
