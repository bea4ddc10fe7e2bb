import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { sluiceSchema } from "../tables.ts"
import type { PlannedOrder } from "./plan-orders.ts"
import { withPool } from "./with-pool.ts"

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
  return withPool(url, async (pool) => {
    const { rows } = await pool.query<OrderRecord>(recordsQuery, [planned.map(({ id }) => id)])
    const { archive, messages } = createClient(pgDriver(pool), { schema: sluiceSchema }).admin
    const settled = (await archive.list({ queue, limit: 1000 })).items
    const waiting = (await messages.list({ queue, limit: 1000 })).items
    return compare(planned, rows, settled, waiting)
  })
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
  const rows = { "order row": orders, "payment": payments, "shipment": deliveries.length }
  const lack = ([what, count]: [string, number]): string[] => (count < due ? [`${id} has no ${what}`] : [])
  const excess = ([what, count]: [string, number]): string[] => (count > due ? [`${id}: ${what} found ${count} times, ${due} due`] : [])
  const missing = Object.entries({ ...rows, "settled message": settled.length }).flatMap(lack)
  const surplus = Object.entries({ ...rows, "message": settled.length + waiting.length }).flatMap(excess)
  // Each delivery has a lease of its own, and only that of the settled one was good.
  const good = settled[0]?.attempt ?? 0
  const late = deliveries.length === 1 && settled.length === 1 && deliveries[0] !== good
  if (late) surplus.push(`${id}: shipped by delivery ${deliveries[0]}, which had lost its lease to delivery ${good}`)
  return { missing, surplus }
}
