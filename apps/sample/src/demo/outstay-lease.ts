import { type Message, type PollOptions, StaleLeaseError } from "@sluice/core"
import type { OpenShop } from "../adapters/open-shop.ts"
import type { OrderPlaced } from "../queues.ts"
import { shipByHand } from "../shipping.ts"

/**
 * A reader that takes an order by hand and is slow: it comes back with its shipment when its lease of a second is over and
 * somebody else holds the order. Its settle must be refused then, and its shipment rolled back.
 */
export async function outstayLease(slow: OpenShop, quick: OpenShop, signal: AbortSignal): Promise<void> {
  const late = await next(slow, { lease: "1s", signal })
  const { orderId } = late.payload
  const retaken = await next(quick, { lease: "10s", filter: { payload: { orderId } }, signal })
  await shipUnlessRefused(slow, late)
  await shipUnlessRefused(quick, retaken)
}

async function next(shop: OpenShop, options: PollOptions): Promise<Message<OrderPlaced>> {
  const [message] = await shop.shipping.readWithPoll({ wait: "10s", interval: "50ms", ...options })
  if (!message) throw new Error("No order came.")
  return message
}

async function shipUnlessRefused(shop: OpenShop, message: Message<OrderPlaced>): Promise<void> {
  try {
    await shipByHand(shop, message)
  } catch (error) {
    if (!(error instanceof StaleLeaseError)) throw error
  }
}
