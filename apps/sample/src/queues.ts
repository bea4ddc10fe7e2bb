import type { Admin, Client, Duration, Queue, StandardSchema } from "@sluice/core"
import * as v from "valibot"

/** What the messages say: little, since the order itself is in the database. */
export interface OrderPlaced {
  readonly orderId: string
  readonly placedAt: string
}

/** Checked at send and again at read. Any Standard Schema does: zod, arktype, or this one. */
const orderPlaced: StandardSchema<OrderPlaced> = v.object({
  orderId: v.pipe(v.string(), v.nonEmpty()),
  placedAt: v.pipe(v.string(), v.isoTimestamp()),
})

/** Asks for a report on a shop. */
interface SalesReport {
  readonly shop: string
}

const salesReport: StandardSchema<SalesReport> = v.object({ shop: v.pipe(v.string(), v.nonEmpty()) })

export interface Queues<Tx> {
  /** Orders to be paid. */
  readonly payments: Queue<OrderPlaced, OrderPlaced, Tx>
  /** Orders that are paid, to be shipped. */
  readonly shipping: Queue<OrderPlaced, OrderPlaced, Tx>
  readonly reports: Queue<SalesReport, SalesReport, Tx>
}

/** A service of your own needs no name in front. The demo runs many shops in one database. */
export const queueNames = (shop: string): { [Name in "payments" | "unpaid" | "shipping" | "reports"]: string } => ({
  payments: `${shop}.payments`,
  unpaid: `${shop}.unpaid`,
  shipping: `${shop}.shipping`,
  reports: `${shop}.reports`,
})

export function openQueues<Tx>(sluice: Client<Tx>, shop: string): Queues<Tx> {
  const names = queueNames(shop)
  return {
    payments: sluice.queue(names.payments, { payload: orderPlaced }),
    shipping: sluice.queue(names.shipping, { payload: orderPlaced }),
    reports: sluice.queue(names.reports, { payload: salesReport }),
  }
}

/** Once, and harmless at every start. A killed worker keeps its messages for a `lease`, and a third of it is how soon a cancellation reaches a handler. */
export async function createQueues(admin: Admin, shop: string, lease: Duration = "30s"): Promise<void> {
  const { payments, unpaid, shipping, reports } = queueNames(shop)
  await admin.createQueue(unpaid)
  await admin.createQueue(payments, {
    lease,
    maxAttempts: 4,
    backoff: { kind: "exponential", base: "100ms" }, // "10s" suits a provider that is not in this process
    deadLetter: unpaid,
    done: "archive",
  })
  await admin.createQueue(shipping, { lease, done: "archive" })
  await admin.createQueue(reports, { lease })
}
