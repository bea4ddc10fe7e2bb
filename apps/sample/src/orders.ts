import type { Client } from "@sluice/core"
import type { Queues } from "./queues.ts"

export interface Order {
  readonly id: string
  readonly sku: string
  readonly quantity: number
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
}

/** The order service, wired to one library: `Tx` is that library's own transaction. */
export interface Shop<Tx> extends Queues<Tx> {
  readonly orders: Orders<Tx>
  readonly sluice: Client<Tx>
  transaction(work: (tx: Tx) => Promise<void>): Promise<void>
}

export class OutOfStockError extends Error {
  override readonly name = "OutOfStockError"
}

/** The order, its stock and its message commit together, or never were. Returns the id of the message. */
export async function placeOrder<Tx>(shop: Shop<Tx>, order: Order): Promise<string> {
  let message = ""
  await shop.transaction(async (tx) => {
    await shop.orders.insertOrder(tx, order)
    message = await shop.payments.send({ orderId: order.id, placedAt: new Date().toISOString() }, { tx })
    if (!(await shop.orders.takeStock(tx, order.sku, order.quantity))) throw new OutOfStockError(order.sku)
  })
  return message
}
