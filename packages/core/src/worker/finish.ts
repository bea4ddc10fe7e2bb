import type { Message } from "../message.ts"
import { errorDocument } from "../queue/attempt-error.ts"
import { type GivenBack, type SettledRow, settledColumns } from "../queue/give-back.ts"
import { arrayText, ascendingIds } from "../queue/id-lists.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"
import type { Settlement } from "./verdict.ts"

export interface Finished {
  readonly message: Message
  readonly settlement: Settlement
  /** What the handler returned, as JSON, where the queue keeps it. */
  readonly result?: string | undefined
}

/* All that a worker has finished of a queue, whatever became of it, in one statement. */
const statement = {
  name: "finish",
  text: `select ${settledColumns} from {schema}.try_finish($1::text, $2::text::bigint[], $3::text::bigint[], $4::text::jsonb, $5::text::bigint[], $6::text::bigint[], $7::text::jsonb)`,
}

/** Settles messages of one queue, fenced by their leases. The answer has those that were still held, by id. */
export async function finish<Tx>(session: Session<Tx>, queue: string, finished: readonly Finished[], worker: string, options: TxOption<Tx> = {}): Promise<Map<string, SettledRow>> {
  const done = sorted(finished.filter(({ settlement }) => settlement.to === "done"))
  const others = sorted(finished.filter(({ settlement }) => settlement.to !== "done"))
  const what = JSON.stringify(others.map(({ settlement }) => givenBack(settlement, worker)))
  const results = `[${done.map(({ result }) => result ?? "null").join(",")}]`
  const values = [queue, list(done, "id"), list(done, "lease"), results, list(others, "id"), list(others, "lease"), what]
  const rows = await session.run<SettledRow>(statement, values, options)
  return new Map(rows.map((row) => [row.id, row]))
}

function givenBack({ to, delay, error }: Settlement, worker: string): GivenBack {
  // The attempt of a message that no handler has seen is not charged.
  if (to === "return") return { to: "snooze", delay: 0 }
  return { to: to as GivenBack["to"], delay, ...(error !== undefined && { error: errorDocument(error, worker) }) }
}

function sorted(finished: Finished[]): Finished[] {
  const byId = new Map(finished.map((one) => [one.message.id, one]))
  return ascendingIds(byId.keys()).map((id) => byId.get(id)!)
}

const list = (finished: readonly Finished[], key: "id" | "lease"): string => arrayText(finished.map(({ message }) => message[key]))
