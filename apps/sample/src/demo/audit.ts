import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { Pool } from "pg"
import { sluiceSchema } from "../tables.ts"
import type { PlannedOrder } from "./plan-orders.ts"

export interface Audit {
  readonly orders: number
  readonly messages: number
  readonly rolledBack: number
  readonly redelivered: number
  /** Orders of which something is missing: its row, payment, shipment or settled message. */
  readonly lost: number
  /** Orders of which something is there that should not be: twice, or for an order that was never placed. */
  readonly duplicates: number
  /** What `lost` and `duplicates` count, in words. */
  readonly problems: readonly string[]
}

interface OrderRecord {
  readonly id: string
  readonly orders: number
  readonly payments: number
  readonly deliveries: readonly number[]
}

const recordsQuery = `
  select planned.id,
         (select count(*)::int from sluice_demo.orders o where o.id = planned.id) as orders,
         (select count(*)::int from sluice_demo.payments p where p.order_id = planned.id) as payments,
         array(select s.delivery from sluice_demo.shipments s where s.order_id = planned.id order by s.id) as deliveries
    from unnest($1::text[]) as planned (id) order by planned.id`

/** Compares what was planned with what the database holds. Knows nothing of what the consumers believe they did. */
export async function audit(planned: readonly PlannedOrder[], queue: string, url: string): Promise<Audit> {
  const pool = new Pool({ connectionString: url })
  try {
    const { rows } = await pool.query<OrderRecord>(recordsQuery, [planned.map(({ id }) => id)])
    const { archive, messages } = createClient(pgDriver(pool), { schema: sluiceSchema }).admin
    const settled = (await archive.list({ queue, limit: 1000 })).items
    const waiting = (await messages.list({ queue, limit: 1000 })).items
    return compare(planned, rows, settled, waiting)
  } finally {
    await pool.end()
  }
}

interface StoredMessage {
  readonly payload: unknown
  readonly attempt: number
}

function compare(
  planned: readonly PlannedOrder[],
  records: readonly OrderRecord[],
  settled: readonly StoredMessage[],
  waiting: readonly StoredMessage[],
): Audit {
  const accepted = new Map(planned.map((order) => [order.id, order.accepted]))
  const findings = records.map((record) => {
    const about = (message: StoredMessage): boolean => (message.payload as { orderId?: string }).orderId === record.id
    return findProblems(record, accepted.get(record.id)!, settled.filter(about), waiting.filter(about))
  })
  return {
    orders: records.filter((record) => record.orders > 0).length,
    messages: settled.length + waiting.length,
    rolledBack: records.filter((record) => record.orders === 0).length,
    redelivered: [...settled, ...waiting].filter(({ attempt }) => attempt > 1).length,
    lost: findings.filter(({ missing }) => missing.length > 0).length,
    duplicates: findings.filter(({ surplus }) => surplus.length > 0).length,
    problems: findings.flatMap(({ missing, surplus }) => [...missing, ...surplus]),
  }
}

function findProblems(
  { id, orders, payments, deliveries }: OrderRecord,
  accepted: boolean,
  settled: readonly StoredMessage[],
  waiting: readonly StoredMessage[],
): { missing: string[]; surplus: string[] } {
  const due = accepted ? 1 : 0
  const counts = { "order row": orders, "payment": payments, "shipment": deliveries.length, "settled message": settled.length }
  const missing = Object.entries(counts).filter(([, count]) => count < due).map(([what]) => `${id} has no ${what}`)
  const surplus = Object.entries(counts).filter(([, count]) => count > due).map(([what, count]) => `${id}: ${what} found ${count} times, ${due} due`)
  if (waiting.length > 0) surplus.push(`${id}: its message is still in the queue`)
  // Each delivery has a lease of its own, and only the last one's was good.
  const late = deliveries.filter((delivery) => settled.some(({ attempt }) => delivery !== attempt))
  if (late.length > 0 && deliveries.length === due) surplus.push(`${id}: shipped by delivery ${late.join(", ")}, which had lost its lease to delivery ${settled[0]?.attempt}`)
  return { missing, surplus }
}
