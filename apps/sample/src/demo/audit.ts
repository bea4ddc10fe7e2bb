import { type ArchivedMessage, createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { queueNames } from "../queues.ts"
import { sluiceSchema } from "../tables.ts"
import { findProblems, type OrderRecord } from "./find-problems.ts"
import type { PlannedOrder } from "./plan-orders.ts"
import { withPool } from "./with-pool.ts"

export interface Audit {
  readonly orders: number
  readonly rolledBack: number
  readonly cancelled: number
  /** Messages that a worker or reader held and did not settle. */
  readonly redelivered: number
  /** Messages that failed, and were done at a later attempt. */
  readonly retried: number
  /** Messages that were dead, and were done after all. */
  readonly redriven: number
  /** Orders of which something is missing: its row, payment, shipment or a settled message. */
  readonly lost: number
  /** Orders of which something is there that should not be: twice, or for an order that was never placed, or cancelled. */
  readonly duplicates: number
  /** What `lost` and `duplicates` count, in words. */
  readonly problems: readonly string[]
}

type Rows = Pick<OrderRecord, "id" | "orders" | "payments" | "deliveries">

const rowsQuery = `
  select planned.id,
         (select count(*)::int from sluice_demo.orders o where o.id = planned.id) as orders,
         (select count(*)::int from sluice_demo.payments p where p.order_id = planned.id) as payments,
         array(select s.delivery from sluice_demo.shipments s where s.order_id = planned.id order by s.id) as deliveries
    from unnest($1::text[]) as planned (id) order by planned.id`

/** Compares what was planned with what the database holds. Knows nothing of what the workers believe they did. */
export async function audit(planned: readonly PlannedOrder[], shop: string, url: string): Promise<Audit> {
  return withPool(url, async (pool) => {
    const { rows } = await pool.query<Rows>(rowsQuery, [planned.map(({ id }) => id)])
    const { archive, messages } = createClient(pgDriver(pool), { schema: sluiceSchema }).admin
    const { payments, unpaid, shipping } = queueNames(shop)
    const left = await Promise.all([payments, unpaid, shipping].map((queue) => messages.list({ queue, limit: 1000 })))
    const settled = await Promise.all([payments, shipping].map((queue) => archive.list({ queue, limit: 1000 })))
    const fates = new Map(planned.map(({ id, fate }) => [id, fate]))
    const records = rows.map((row): OrderRecord => {
      const about = ({ payload }: { payload: unknown }): boolean => (payload as { orderId?: string }).orderId === row.id
      return {
        ...row,
        fate: fates.get(row.id)!,
        waiting: left.flatMap(({ items }) => items).filter(about).length,
        paymentMessages: settled[0]!.items.filter(about),
        shippingMessages: settled[1]!.items.filter(about),
      }
    })
    const reports = await pool.query<{ shipped: number }>("select shipped from sluice_demo.reports where shop = $1", [shop])
    const told = reports.rows.map(({ shipped }) => shipped)
    return summarize(records, told)
  })
}

function summarize(records: readonly OrderRecord[], reports: readonly number[]): Audit {
  const shipped = records.reduce((sum, { deliveries }) => sum + deliveries.length, 0)
  const wrong = reports.length === 1 && reports[0] === shipped ? [] : [`The reports say ${reports.join(" and ") || "nothing"} where ${shipped} shipped`]
  const findings = records.map(findProblems)
  const messages = records.flatMap(({ paymentMessages, shippingMessages }) => [...paymentMessages, ...shippingMessages])
  const done = messages.filter(({ outcome }) => outcome === "done")
  return {
    orders: records.filter(({ orders }) => orders > 0).length,
    rolledBack: records.filter(({ orders }) => orders === 0).length,
    cancelled: messages.filter(({ outcome }) => outcome === "cancelled").length,
    redelivered: done.filter((message) => !cameBack(message) && message.attempt - 1 > message.errors.length).length,
    retried: done.filter((message) => !cameBack(message) && message.errors.length > 0).length,
    redriven: done.filter(cameBack).length,
    lost: findings.filter(({ missing }) => missing.length > 0).length,
    duplicates: findings.filter(({ surplus }) => surplus.length > 0).length,
    problems: [...findings.flatMap(({ missing, surplus }) => [...missing, ...surplus]), ...wrong],
  }
}

/** Its attempts were counted from 0 again: it has errors of attempts that it has not had since. */
function cameBack({ attempt, errors }: ArchivedMessage): boolean {
  return errors.some((error) => error.attempt >= attempt)
}
