import { subscriptions } from "../events.ts"
import type { Fate, PlannedOrder } from "./plan-orders.ts"
import { withPool } from "./with-pool.ts"

/** What became of the events of a flow, by the tables that its two subscribers write. */
export interface StreamAudit {
  readonly published: number
  readonly captured: number
  /** Events that a reader held and did not finish. */
  readonly redelivered: number
  readonly bookLost: number
  readonly bookTwice: number
  readonly logLost: number
  readonly logTwice: number
  readonly problems: readonly string[]
  /** The audit log of the first order. */
  readonly log: readonly LogEntry[]
}

export interface LogEntry {
  readonly event: string
  readonly type: string
  readonly data: string
}

interface OrderEvents {
  readonly id: string
  readonly fate: Fate
  /** Null: the order book has no such order. */
  readonly status: string | null
  readonly steps: number
  readonly counts: { readonly [type: string]: number }
  readonly redelivered: number
}

interface Finding {
  readonly where: "book" | "log"
  readonly text: string
  /** Above 0: there too often; below: missing. */
  readonly by: number
}

const eventsQuery = `
  select planned.id, b.status, coalesce(b.steps, 0) as steps, l.redelivered,
         (select coalesce(jsonb_object_agg(type, n), '{}') from (select type, count(*) as n from sluice_demo.audit_log where order_id = planned.id group by type) t) as counts
    from unnest($1::text[]) as planned (id)
    left join sluice_demo.order_book b on b.order_id = planned.id
    cross join lateral (select count(*)::int as redelivered from sluice_demo.audit_log where order_id = planned.id and delivery > 1) l
   order by planned.id`

const logQuery = "select event_id::text as event, type, data from sluice_demo.audit_log where order_id = $1 order by event_id, id"

/** Compares the events that there should be with what their subscribers wrote. */
export async function auditStreams(planned: readonly PlannedOrder[], url: string): Promise<StreamAudit> {
  return withPool(url, async (pool) => {
    const { rows } = await pool.query<Omit<OrderEvents, "fate">>(eventsQuery, [planned.map(({ id }) => id)])
    const fates = new Map(planned.map(({ id, fate }) => [id, fate]))
    const orders = rows.map((row) => ({ ...row, fate: fates.get(row.id)! }))
    const { rows: log } = await pool.query<LogEntry>(logQuery, [planned[0]!.id])
    return { ...summarize(orders), log }
  })
}

function summarize(orders: readonly OrderEvents[]): Omit<StreamAudit, "log"> {
  const findings = orders.flatMap((order) => [...checkBook(order), ...checkLog(order)])
  const count = (where: Finding["where"], sign: number): number => findings.filter((found) => found.where === where && Math.sign(found.by) === sign).length
  const noted = (captured: boolean): number =>
    orders.flatMap(({ counts }) => Object.entries(counts)).reduce((sum, [type, n]) => (type.startsWith("order.") === captured ? sum : sum + n), 0)
  return {
    published: noted(false),
    captured: noted(true),
    redelivered: orders.reduce((sum, { redelivered }) => sum + redelivered, 0),
    bookLost: count("book", -1),
    bookTwice: count("book", 1),
    logLost: count("log", -1),
    logTwice: count("log", 1),
    problems: findings.map(({ text }) => text),
  }
}

function checkBook({ id, fate, status, steps }: OrderEvents): Finding[] {
  const { placed, fulfilled } = due(fate)
  const expected = placed + 2 * fulfilled
  const last = fulfilled ? "shipped" : placed ? "placed" : null
  if (steps !== expected) return [{ where: "book", by: steps - expected, text: `${id}: ${steps} steps in the ${subscriptions.orderBook}, ${expected} due` }]
  return status === last ? [] : [{ where: "book", by: -1, text: `${id} is ${status} in the ${subscriptions.orderBook}, not ${last}` }]
}

function checkLog({ id, fate, counts }: OrderEvents): Finding[] {
  const { placed, fulfilled } = due(fate)
  const expected: { [type: string]: number } = {
    "order.placed": placed,
    "order.paid": fulfilled,
    "order.shipped": fulfilled,
    "reservations.insert": placed,
    "reservations.update": fulfilled,
    "reservations.delete": fulfilled,
  }
  const types = new Set([...Object.keys(expected), ...Object.keys(counts)])
  return [...types].flatMap((type): Finding[] => {
    const [found, wanted] = [counts[type] ?? 0, expected[type] ?? 0]
    return found === wanted ? [] : [{ where: "log", by: found - wanted, text: `${id}: ${type} is ${found} times in the ${subscriptions.auditLog}, ${wanted} due` }]
  })
}

function due(fate: Fate): { placed: number; fulfilled: number } {
  const placed = fate === "sold out" ? 0 : 1
  return { placed, fulfilled: fate === "withdrawn" || fate === "unanswered" ? 0 : placed }
}
