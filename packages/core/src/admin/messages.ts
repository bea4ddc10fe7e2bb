import { checkBigint, checkOptions, describe, validateQueueName } from "../check.ts"
import type { Duration } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import { encodeVt } from "../queue/set-vt.ts"
import { arrayText, ascendingIds } from "../queue/id-lists.ts"
import type { Session, Statement } from "../session.ts"
import type { TxOption } from "../types.ts"

/**
 * Writes by id alone, for operators. They override leases: who holds the message finds its lease stale. A reader settles
 * with what it read, by `queue.delete(message)` and its like.
 */
export interface MessageWrites<Tx> {
  /** Deletes messages, whoever holds them. Returns the ids of those that were there, in the order given. */
  delete(queue: string, ids: string | readonly string[], options?: TxOption<Tx>): Promise<string[]>
  /** Moves messages to the archive, whoever holds them, with outcome `done`. Returns the ids of those that were there, in the order given. */
  archive(queue: string, ids: string | readonly string[], options?: TxOption<Tx>): Promise<string[]>
  /** Makes a message ready this long from now, or at a time, and takes its lease away; 0 means now. Returns when, or null where there is no such message. */
  setVt(queue: string, id: string, vt: Duration | Date, options?: TxOption<Tx>): Promise<Date | null>
}

const statements = {
  delete: { name: "admin_delete", text: "select fault::text as fault, id::text as id from {schema}.try_admin_delete($1::text, $2::text::bigint[])" },
  archive: { name: "admin_archive", text: "select fault::text as fault, id::text as id from {schema}.try_admin_archive($1::text, $2::text::bigint[])" },
  setVt: {
    name: "admin_set_vt",
    text: `select fault::text as fault, (extract(epoch from visible_at) * 1000)::float8 as visible
      from {schema}.try_admin_set_vt($1::text, $2::text::bigint, to_timestamp($3::float8 / 1000), $4::float8 * interval '1 millisecond')`,
  },
}

export function messageWrites<Tx>(session: Session<Tx>): MessageWrites<Tx> {
  return {
    delete: async (queue, ids, options = {}) => byId(session, statements.delete, queue, ids, options),
    archive: async (queue, ids, options = {}) => byId(session, statements.archive, queue, ids, options),
    setVt: async (queue, id, vt, options = {}) => {
      checkOptions(options, ["tx"], "options")
      validateQueueName(queue)
      const when = encodeVt(vt)
      const rows = await session.run<{ visible: number }>(statements.setVt, [queue, checkBigint(id, "id"), ...when], options)
      return rows[0] === undefined ? null : new Date(rows[0].visible)
    },
  }
}

/** Ids travel in ascending order, as those of settles do, so that all lock in one order. */
async function byId<Tx>(session: Session<Tx>, statement: Statement, queue: string, ids: string | readonly string[], options: TxOption<Tx>): Promise<string[]> {
  checkOptions(options, ["tx"], "options")
  validateQueueName(queue)
  if (typeof ids !== "string" && !Array.isArray(ids)) throw new InvalidOptionError("ids", ids, `must be an id or an array of ids, got ${describe(ids)}`)
  const list = typeof ids === "string" ? [checkBigint(ids, "ids")] : ids.map((id, i) => checkBigint(id, `ids[${i}]`))
  const unique = [...new Set(list)]
  if (unique.length === 0) return []
  const rows = await session.run<{ id: string }>(statement, [queue, arrayText(ascendingIds(unique))], options)
  const done = new Set(rows.map((row) => row.id))
  return unique.filter((id) => done.has(id))
}
