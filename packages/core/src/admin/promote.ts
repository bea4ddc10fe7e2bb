import { validateName } from "../check.ts"
import type { Session } from "../session.ts"

export interface PromotedSubscription {
  readonly name: string
  /** False: there was one of this name, which stays as it is. */
  readonly created: boolean
  /** Events that it had not done with at the source, and gets at once. */
  readonly events: number
}

const statement = { name: "promote_stream", text: "select fault::text as fault, subscription as name, created, events::float8 as events from {schema}.try_promote_stream($1::text)" }

/** See `admin.promoteStream`. */
export async function promoteStream<Tx>(session: Session<Tx>, stream: string): Promise<PromotedSubscription[]> {
  validateName(stream, "stream")
  const rows = await session.run<PromotedSubscription>(statement, [stream])
  return rows.map(({ name, created, events }) => ({ name, created, events }))
}
