// A process of its own, forked and killed by kill-consumer.ts: it takes an order, works up to the agreed moment, says so, and hangs.
import { adapters } from "../adapters/adapters.ts"
import { fulfilNext } from "../shipping.ts"
import { aroundShipment } from "./around-shipment.ts"
import type { DoomedJob } from "./kill-consumer.ts"

process.once("disconnect", () => process.exit(1)) // whoever started us is gone
process.once("message", ({ adapter, url, queue, moment }: DoomedJob) => void consume(adapter, url, queue, moment))

async function consume(adapter: string, url: string, queue: string, moment: DoomedJob["moment"]): Promise<void> {
  const shop = aroundShipment(adapters[adapter]!(url, queue), async (orderId, ship) => {
    if (moment === "shipped, not settled") await ship()
    process.send?.(orderId)
    await new Promise(() => {})
  })
  await fulfilNext(shop, { lease: "1s", wait: "10s" })
  throw new Error("No order came.")
}
