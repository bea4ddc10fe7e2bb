import type { Handler, Message } from "@sluice/core"
import type { Shop } from "./orders.ts"
import type { OrderPlaced } from "./queues.ts"

/** Ships what is paid. A shipment cannot be repeated: it commits together with the end of its message, so it happens once. */
export function shipOrders<Tx>(shop: Shop<Tx>): Handler<Tx> {
  return shop.shipping.handler(({ payload, attempt }, { tx }) => shop.orders.insertShipment(tx, payload.orderId, attempt), { transactional: true })
}

/** The same without a worker, for whoever reads messages himself. Throws `StaleLeaseError` where somebody else has the message by now. */
export async function shipByHand<Tx>(shop: Shop<Tx>, message: Message<OrderPlaced>): Promise<void> {
  await shop.transaction(async (tx) => {
    await shop.orders.insertShipment(tx, message.payload.orderId, message.attempt)
    await shop.shipping.archive(message, { tx })
  })
}
