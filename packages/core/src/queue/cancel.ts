import { checkBigint, checkOptions } from "../check.ts"
import { arrayText } from "./id-lists.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"

/** `"cancelled"`: it waited, and is gone. `"requested"`: somebody holds it, and is told by the next beat of his worker. */
export type CancelOutcome = "cancelled" | "requested"

const statement = {
  name: "cancel",
  text: "select fault::text as fault, outcome from {schema}.try_cancel($1::text, $2::text::bigint[])",
}

export async function cancel<Tx>(session: Session<Tx>, queue: string, id: string, options: TxOption<Tx>): Promise<CancelOutcome | null> {
  checkOptions(options, ["tx"], "options")
  const rows = await session.run<{ outcome: CancelOutcome }>(statement, [queue, arrayText([checkBigint(id, "id")])], options)
  return rows[0]?.outcome ?? null
}
