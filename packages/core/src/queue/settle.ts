import { checkBigint, checkOptions, describe } from "../check.ts"
import { InvalidOptionError, StaleLeaseError } from "../errors.ts"
import type { Leased } from "../message.ts"
import { arrayText, leaseLists } from "./id-lists.ts"
import type { Session, Statement } from "../session.ts"
import type { TxOption } from "../types.ts"

export type SettleOptions<Tx> = TxOption<Tx>

/** What became of each message of a batch, by id. */
export interface SettleResult {
  readonly settled: string[]
  /** Their lease was stale: somebody else settled, released or read them meanwhile. Nothing of them was changed. */
  readonly refused: string[]
}

/**
 * Settles many messages in one statement. Ids travel in ascending order, each with its lease: all settles then lock in
 * one order, and the function finds a lease by binary search.
 */
export async function settleBatch<Tx>(
  session: Session<Tx>,
  statement: Statement,
  queue: string,
  messages: readonly Leased[],
  options: SettleOptions<Tx>,
): Promise<SettleResult> {
  if (!Array.isArray(messages)) throw new InvalidOptionError("messages", messages, `must be an array, got ${describe(messages)}`)
  const unique = new Map<string, string>()
  const again: Leased[] = []
  for (const [i, message] of messages.entries()) {
    const { id, lease } = checkLeased(message, `messages[${i}]`)
    const known = unique.get(id)
    if (known === undefined) unique.set(id, lease)
    // One message under two leases: at most one of them holds, so each is tried.
    else if (known !== lease) again.push(message)
  }
  if (unique.size === 0) return { settled: [], refused: [] }
  const { ids, leases } = leaseLists([...unique].map(([id, lease]) => ({ id, lease })))
  const rows = await session.run<{ id: string }>(statement, [queue, arrayText(ids), arrayText(leases)], options)
  const settled = new Set(rows.map((row) => row.id))
  const rest = await settleBatch(session, statement, queue, again, options)
  return {
    settled: [...ids.filter((id) => settled.has(id)), ...rest.settled],
    refused: [...ids.filter((id) => !settled.has(id)), ...rest.refused],
  }
}

/** Settles one message, or throws StaleLeaseError. */
export async function settleOne<Tx>(
  session: Session<Tx>,
  statement: Statement,
  queue: string,
  message: Leased,
  options: SettleOptions<Tx>,
): Promise<void> {
  checkOptions(options, ["tx"], "options")
  const { refused } = await settleBatch(session, statement, queue, [checkLeased(message, "message")], options)
  if (refused.length > 0) throw new StaleLeaseError(queue, message.id, message.lease)
}

export function checkLeased(message: Leased, field: string): Leased {
  if (typeof message !== "object" || message === null) {
    throw new InvalidOptionError(field, message, `must be a message that was read, or its { id, lease }, got ${describe(message)}`)
  }
  if (typeof (message as { then?: unknown }).then === "function") throw new InvalidOptionError(field, message, "is a Promise: await the read first")
  if (message.lease === undefined && message.id !== undefined) {
    throw new InvalidOptionError(`${field}.lease`, undefined, "is not there: a popped message is deleted already, and there is nothing left to settle")
  }
  checkBigint(message.id, `${field}.id`)
  checkBigint(message.lease, `${field}.lease`)
  return message
}
