import { StaleLeaseError } from "@sluice/core"
import type { OpenShop } from "../adapters/open-shop.ts"
import { fulfil } from "../shipping.ts"
import { aroundShipment } from "./around-shipment.ts"
import { orAborted } from "./or-aborted.ts"

export interface LateConsumer {
  /** The shop of everybody else. Who gets the late consumer's order there ships it only after that one has tried. */
  readonly others: OpenShop
  /** When the late consumer has tried to ship. */
  readonly tried: Promise<void>
}

/**
 * A consumer that takes an order and is slow: it comes back with its shipment when the lease is over and somebody else
 * holds the order and is at work on it. Its settle must be refused then, and its shipment rolled back.
 */
export async function outstayLease(slow: OpenShop, quick: OpenShop, signal: AbortSignal): Promise<LateConsumer> {
  const [message] = await slow.placed.readWithPoll({ lease: "1s", wait: "10s", interval: "50ms", signal })
  if (!message) throw new Error("No order came.")
  const retaken = Promise.withResolvers<void>()
  const late = aroundShipment(slow, async (_, ship) => {
    await orAborted(retaken.promise, signal)
    await ship()
  })
  const tried = fulfil(late, message).catch((error: unknown) => {
    if (!(error instanceof StaleLeaseError)) throw error
  })
  tried.catch(() => {}) // awaited by the flow, which may be busy elsewhere when it fails
  const others = aroundShipment(quick, async (orderId, ship) => {
    if (orderId === message.payload.orderId) {
      retaken.resolve()
      await orAborted(tried, signal)
    }
    await ship()
  })
  return { others, tried }
}
