import type { Handler, Message } from "@sluice/core"
import type { Shop } from "./orders.ts"
import type { OrderPlaced } from "./queues.ts"

/** Ships what is paid. A shipment cannot be repeated: it commits together with the end of its message, so it happens once. */
export function shipOrders<Tx>(shop: Shop<Tx>): Handler<Tx> {
  return shop.shipping.handler((message, { tx }) => ship(shop, message, tx), { transactional: true })
}

/** The same without a worker, for whoever reads messages himself. Throws `StaleLeaseError` where somebody else has the message by now. */
export async function shipByHand<Tx>(shop: Shop<Tx>, message: Message<OrderPlaced>): Promise<void> {
  await shop.transaction(async (tx) => {
    await ship(shop, message, tx)
    await shop.shipping.archive(message, { tx })
  })
}

async function ship<Tx>({ orders, events }: Shop<Tx>, { payload: { orderId }, attempt }: Message<OrderPlaced>, tx: Tx): Promise<void> {
  await orders.insertShipment(tx, orderId, attempt)
  await orders.deleteReservation(tx, orderId)
  await events.publish("order.shipped", { orderId }, { key: orderId, tx })
}
