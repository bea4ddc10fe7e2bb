import type { Admin, Client, StandardSchema, Stream, TypesOf } from "@sluice/core"
import * as v from "valibot"
import type { Order } from "./orders.ts"
import { shopSchema } from "./tables.ts"

/** Something happened to an order. */
interface OrderStep {
  readonly orderId: string
}

/** A row of `reservations`, as a trigger records it. */
interface Reservation {
  readonly order_id: string
  readonly quantity: number
  readonly paid: boolean
}

const orderStep: StandardSchema<OrderStep> = v.object({ orderId: v.pipe(v.string(), v.nonEmpty()) })

const orderPlaced: StandardSchema<OrderStep & Pick<Order, "sku" | "quantity">> = v.object({ orderId: v.pipe(v.string(), v.nonEmpty()), sku: v.string(), quantity: v.number() })

const reservation: StandardSchema<Reservation> = v.object({ order_id: v.string(), quantity: v.number(), paid: v.boolean() })

/** For whoever wants to know. The shop publishes the first three, each in the transaction that did it; the others are captured. */
type Schemas = {
  readonly "order.placed": typeof orderPlaced
  readonly "order.paid": typeof orderStep
  readonly "order.shipped": typeof orderStep
  readonly "reservations.insert": typeof reservation
  readonly "reservations.update": typeof reservation
  readonly "reservations.delete": typeof reservation
}

const schemas: Schemas = {
  "order.placed": orderPlaced,
  "order.paid": orderStep,
  "order.shipped": orderStep,
  "reservations.insert": reservation,
  "reservations.update": reservation,
  "reservations.delete": reservation,
}

export type OrderEvents<Tx> = Stream<TypesOf<Schemas>, Tx>

/** As with the queues: a service of your own needs no name in front. */
const streamName = (shop: string): string => `${shop}.events`

export const subscriptions = { orderBook: "order-book", auditLog: "audit-log" } as const

export function openEvents<Tx>(sluice: Client<Tx>, shop: string): OrderEvents<Tx> {
  return sluice.stream(streamName(shop), { events: schemas })
}

/** Once, and harmless at every start. Each subscription gets every event that is committed from here on. */
export async function createEvents(admin: Admin, shop: string): Promise<void> {
  const stream = streamName(shop)
  await admin.createStream(stream)
  for (const name of Object.values(subscriptions)) await admin.createSubscription(stream, name)
  // Whatever changes a reservation, psql too, is an event. With one shop in the table there is no need for `when`.
  await admin.captureTable(`${shopSchema}.reservations`, { stream, when: `order_id like '${shop}-__'` })
}
