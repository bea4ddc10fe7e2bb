import type { Subscriber } from "@sluice/core"
import { subscriptions } from "./events.ts"
import type { Shop } from "./orders.ts"

/**
 * A read model: where each order stands. One reader at a time, so that it sees an order's steps one after the other, however
 * many processes run it; a batch is finished in the transaction that wrote what came of it, so each step counts once.
 */
export function keepOrderBook<Tx>({ sluice, events, orders }: Shop<Tx>): Subscriber {
  return sluice.subscriber(
    events,
    subscriptions.orderBook,
    {
      "order.placed": ({ data }, { tx }) => orders.countStep(tx, data.orderId, "placed"),
      "order.paid": ({ data }, { tx }) => orders.countStep(tx, data.orderId, "paid"),
      "order.shipped": ({ data }, { tx }) => orders.countStep(tx, data.orderId, "shipped"),
    },
    { transactional: true, maintenance: false }, // a worker runs it
  )
}
