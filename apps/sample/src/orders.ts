import type { Client } from "@sluice/core"
import type { OrderEvents } from "./events.ts"
import type { Queues } from "./queues.ts"

export interface Order {
  readonly id: string
  readonly sku: string
  readonly quantity: number
}

interface AuditEntry {
  readonly eventId: string
  readonly type: string
  readonly orderId: string
  readonly data: string
  /** Which delivery of the event led to it. */
  readonly attempt: number
}

/** What the service asks of the database, each in a transaction of the caller's. One implementation for each library. */
export interface Orders<Tx> {
  insertOrder(tx: Tx, order: Order): Promise<void>
  /** Returns false where there is not enough left. */
  takeStock(tx: Tx, sku: string, quantity: number): Promise<boolean>
  insertPayment(tx: Tx, orderId: string): Promise<void>
  /** `delivery` says which delivery of the message led to it. */
  insertShipment(tx: Tx, orderId: string, delivery: number): Promise<void>
  /** Counts the shipments of a shop. */
  insertReport(tx: Tx, shop: string): Promise<void>
  /** Of a table whose changes are captured: a reservation is made, paid for, and gone when its goods are. */
  insertReservation(tx: Tx, order: Order): Promise<void>
  payReservation(tx: Tx, orderId: string): Promise<void>
  deleteReservation(tx: Tx, orderId: string): Promise<void>
  /** The order book says that an order stands here, and after how many steps. */
  countStep(tx: Tx, orderId: string, status: string): Promise<void>
  insertAuditEntry(tx: Tx, entry: AuditEntry): Promise<void>
}

/** The order service, wired to one library: `Tx` is that library's own transaction. */
export interface Shop<Tx> extends Queues<Tx> {
  readonly orders: Orders<Tx>
  readonly events: OrderEvents<Tx>
  readonly sluice: Client<Tx>
  transaction(work: (tx: Tx) => Promise<void>): Promise<void>
}

export class OutOfStockError extends Error {
  override readonly name = "OutOfStockError"
}

/** The order, its stock, its message and its event commit together, or never were. Returns the id of the message. */
export async function placeOrder<Tx>(shop: Shop<Tx>, order: Order): Promise<string> {
  let message = ""
  await shop.transaction(async (tx) => {
    await shop.orders.insertOrder(tx, order)
    await shop.orders.insertReservation(tx, order)
    await shop.events.publish("order.placed", { orderId: order.id, sku: order.sku, quantity: order.quantity }, { key: order.id, tx })
    message = await shop.payments.send({ orderId: order.id, placedAt: new Date().toISOString() }, { tx })
    if (!(await shop.orders.takeStock(tx, order.sku, order.quantity))) throw new OutOfStockError(order.sku)
  })
  return message
}
