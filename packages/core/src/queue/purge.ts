import { checkOptions } from "../check.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"

const statement = {
  name: "purge",
  text: "select fault::text as fault, count from {schema}.try_purge($1::text)",
}

/** Deletes every message of the queue, leased ones too, and returns how many. The archive stays. */
export async function purge<Tx>(session: Session<Tx>, queue: string, options: TxOption<Tx>): Promise<number> {
  checkOptions(options, ["tx"], "options")
  const rows = await session.run<{ count: number }>(statement, [queue], options)
  return rows[0]!.count
}
