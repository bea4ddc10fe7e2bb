import { type Duration, type Message, StaleLeaseError } from "@sluice/core"
import type { OrderPlaced } from "./order-placed.ts"
import type { Shop } from "./orders.ts"

/** Confirms the payment of one order and ships it. Throws `StaleLeaseError` where somebody else has the message by now. */
export async function fulfil<Tx>(shop: Shop<Tx>, message: Message<OrderPlaced>): Promise<void> {
  const { orderId } = message.payload
  // Commits by itself: no rollback reaches the bank. A redelivery repeats it, so it is idempotent by order.
  await shop.transaction((tx) => shop.orders.confirmPayment(tx, orderId))
  // The shipment is not idempotent. It commits together with the end of its message, so it happens once.
  await shop.transaction(async (tx) => {
    await shop.orders.insertShipment(tx, orderId, message.attempt)
    await shop.placed.archive(message, { tx })
  })
}

export interface NextOptions {
  /** How long the order is ours before others may have it. Long enough for the work, short enough for a crash. */
  readonly lease: Duration
  readonly wait: Duration
  readonly signal?: AbortSignal
}

/** Fulfils the next order. Returns whether there was one within `wait`. */
export async function fulfilNext<Tx>(shop: Shop<Tx>, { lease, wait, signal }: NextOptions): Promise<boolean> {
  const [message] = await shop.placed.readWithPoll({ lease, wait, interval: "50ms", signal })
  if (!message) return false
  try {
    await fulfil(shop, message)
  } catch (error) {
    // We were too slow, and the shipment is rolled back: whoever holds the message now will ship.
    if (!(error instanceof StaleLeaseError)) throw error
  }
  return true
}
