// A process of its own, forked and killed by fork-doomed.ts: a worker that does all of its work but the last step, settling.
import type { Queue } from "@sluice/core"
import { takePayments } from "../payments.ts"
import type { OrderPlaced } from "../queues.ts"
import { shipOrders } from "../shipping.ts"
import type { DoomedJob, Moment } from "./fork-doomed.ts"
import { openShop } from "./open-shop.ts"

process.once("disconnect", () => process.exit(1)) // whoever started us is gone
process.once("message", (job: DoomedJob) => void work(job))

async function work({ adapter, url, shop: name, payments }: DoomedJob): Promise<void> {
  const shop = await openShop(adapter, url, name, (whole) => ({
    ...whole,
    payments: hangingAtTheEnd(whole.payments, payments, () => say("paid, not settled")),
    shipping: hangingAtTheEnd(whole.shipping, 1, () => say("shipped, not settled")),
  }))
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
