import type { ArchivedMessage } from "@sluice/core"
import type { Fate } from "./plan-orders.ts"

/** All that the database holds of one order. */
export interface OrderRecord {
  readonly id: string
  readonly fate: Fate
  readonly orders: number
  readonly payments: number
  /** Of each shipment: the delivery of the message that led to it. */
  readonly deliveries: readonly number[]
  readonly waiting: number
  readonly paymentMessages: readonly ArchivedMessage[]
  readonly shippingMessages: readonly ArchivedMessage[]
}

export interface Problems {
  readonly missing: readonly string[]
  readonly surplus: readonly string[]
}

export function findProblems(record: OrderRecord): Problems {
  const { id, fate, deliveries, paymentMessages, shippingMessages } = record
  const placed = fate === "sold out" ? 0 : 1
  const cancelled = fate === "withdrawn" || fate === "unanswered" ? 1 : 0
  const fulfilled = placed - cancelled
  const count = (messages: readonly ArchivedMessage[], outcome: string): number => messages.filter((message) => message.outcome === outcome).length
  const counts: [what: string, found: number, due: number][] = [
    ["order row", record.orders, placed],
    ["payment", record.payments, fulfilled],
    ["shipment", deliveries.length, fulfilled],
    ["message of a payment made", count(paymentMessages, "done"), fulfilled],
    ["message of a payment cancelled", count(paymentMessages, "cancelled"), cancelled],
    ["message of a shipment made", count(shippingMessages, "done"), fulfilled],
    ["message left", record.waiting, 0],
  ]
  const missing = counts.filter(([, found, due]) => found < due).map(([what]) => `${id} has no ${what}`)
  const surplus = counts.filter(([, found, due]) => found > due).map(([what, found, due]) => `${id}: ${what} found ${found} times, ${due} due`)
  // Each delivery has a lease of its own, and only that of the settled one was good.
  const good = shippingMessages[0]?.attempt
  const late = deliveries.length === 1 && good !== undefined && deliveries[0] !== good
  if (late) surplus.push(`${id}: shipped by delivery ${deliveries[0]}, which had lost its lease to delivery ${good}`)
  return { missing, surplus }
}
