// A process of its own, forked and killed by fork-doomed.ts: a worker and two subscribers that do all of their work but the last step, settling.
import type { Client, Queue } from "@sluice/core"
import { keepAuditLog } from "../audit-log.ts"
import { keepOrderBook } from "../order-book.ts"
import { takePayments } from "../payments.ts"
import type { OrderPlaced } from "../queues.ts"
import { shipOrders } from "../shipping.ts"
import type { DoomedJob, Moment } from "./fork-doomed.ts"
import { mapHandlers, type Run } from "./map-handlers.ts"
import { openShop } from "./open-shop.ts"

process.once("disconnect", () => process.exit(1)) // whoever started us is gone
process.once("message", (job: DoomedJob) => void work(job))

async function work({ adapter, url, shop: name, payments }: DoomedJob): Promise<void> {
  const shop = await openShop(adapter, url, name, (whole) => ({
    ...whole,
    payments: hangingAtTheEnd(whole.payments, payments, () => say("paid, not settled")),
    sluice: { ...whole.sluice, subscriber: hangingAfter(3, 2, whole.sluice, () => say("read, not finished")) },
    shipping: hangingAtTheEnd(whole.shipping, 1, () => say("shipped, not settled")),
  }))
  await Promise.all([keepOrderBook(shop).start(), keepAuditLog(shop).start()])
  const provider = { charge: async () => {} }
  await shop.sluice.worker([takePayments(shop, provider), shipOrders(shop)], { pollInterval: "50ms", maintenance: false }).start()
}

function say(moment: Moment): void {
  process.send?.(moment)
}

/** The same queue, whose handlers do their work and then never return; `onAll` is called once that many hang. */
function hangingAtTheEnd<Tx>(queue: Queue<OrderPlaced, OrderPlaced, Tx>, concurrency: number, onAll: () => void): Queue<OrderPlaced, OrderPlaced, Tx> {
  let hanging = 0
  const handler: typeof queue.handler = (run: (message: never, context: never) => unknown, options: object = {}) =>
    queue.handler(
      async (message, context) => {
        await run(message as never, context as never)
        if (++hanging === concurrency) onAll()
        await new Promise(() => {})
      },
      { ...options, concurrency, lease: "1s" },
    )
  return { ...queue, handler }
}

/** The same, of subscribers: each hangs with its third event or so, the effects of all three written; `onAll` is called once that many hang. */
function hangingAfter<Tx>(events: number, subscribers: number, sluice: Client<Tx>, onAll: () => void): Client<Tx>["subscriber"] {
  let hanging = 0
  return (stream: never, subscription: string, handlers: unknown, options?: object) => {
    let handled = 0
    const hang = (run: Run): Run => async (event, context) => {
      await run(event, context)
      if (++handled < events) return
      if (handled === events && ++hanging === subscribers) onAll()
      await new Promise(() => {})
    }
    return sluice.subscriber(stream, subscription, mapHandlers(handlers, hang) as never, { ...options, lease: "1s", maintenance: false } as never)
  }
}
