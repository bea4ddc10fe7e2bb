import type { Handler } from "@sluice/core"
import type { Shop } from "./orders.ts"

/** Somebody else's service: it fails, it hangs, and no rollback reaches it. */
export interface PaymentProvider {
  /** Charges an order once, however often it is asked to. */
  charge(orderId: string, signal: AbortSignal): Promise<void>
}

/**
 * Has an order paid, then shipped. What it throws is kept with the message, which is tried again after the queue's backoff,
 * and lies in `unpaid` when its attempts are used up.
 */
export function takePayments<Tx>(shop: Shop<Tx>, provider: PaymentProvider): Handler<Tx> {
  return shop.payments.handler(
    async ({ payload }, { tx, signal }) => {
      await provider.charge(payload.orderId, signal) // the signal fires when the order is cancelled
      // The payment, its event, the message for shipping and the end of this one commit together.
      await shop.orders.insertPayment(tx, payload.orderId)
      await shop.orders.payReservation(tx, payload.orderId)
      await shop.events.publish("order.paid", { orderId: payload.orderId }, { key: payload.orderId, tx })
      await shop.shipping.send(payload, { tx })
    },
    { transactional: true },
  )
}
