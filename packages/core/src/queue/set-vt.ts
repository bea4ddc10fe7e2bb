import { checkDate, checkOptions } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { StaleLeaseError } from "../errors.ts"
import type { Leased, Message } from "../message.ts"
import type { Session } from "../session.ts"
import { checkLeased, type SettleOptions } from "./settle.ts"

const statement = {
  name: "set_vt",
  text: `select fault::text as fault, (extract(epoch from visible_at) * 1000)::float8 as visible
    from {schema}.try_set_vt($1::text, $2::text::bigint, $3::text::bigint, to_timestamp($4::float8 / 1000),
      $5::float8 * interval '1 millisecond', $6::float8 * interval '1 millisecond')`,
}

/** The lease now ends this long from now, or at a time; the past means now. */
export function setVt<M extends Leased, Tx>(session: Session<Tx>, queue: string, message: M, vt: Duration | Date, options: SettleOptions<Tx>): Promise<M & Pick<Message, "visibleAt">> {
  return move(session, queue, message, [...encodeVt(vt), null], options)
}

/** A time, or a delay in milliseconds, as two parameters of which one is null. */
export function encodeVt(vt: Duration | Date): [at: number | null, delay: number | null] {
  return vt instanceof Date ? [checkDate(vt, "vt"), null] : [null, milliseconds(vt, "vt")]
}

/** The lease now ends this much later than it would have. */
export function extend<M extends Leased, Tx>(session: Session<Tx>, queue: string, message: M, by: Duration, options: SettleOptions<Tx>): Promise<M & Pick<Message, "visibleAt">> {
  return move(session, queue, message, [null, null, milliseconds(by, "by")], options)
}

async function move<M extends Leased, Tx>(
  session: Session<Tx>,
  queue: string,
  message: M,
  values: (number | null)[],
  options: SettleOptions<Tx>,
): Promise<M & Pick<Message, "visibleAt">> {
  checkOptions(options, ["tx"], "options")
  const { id, lease } = checkLeased(message, "message")
  const [row] = await session.run<{ visible: number }>(statement, [queue, id, lease, ...values], options)
  if (row === undefined) throw new StaleLeaseError(queue, id, lease)
  return { ...message, visibleAt: new Date(row.visible) }
}
