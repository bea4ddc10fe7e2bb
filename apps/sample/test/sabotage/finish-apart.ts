import type { OpenShop } from "../../src/adapters/open-shop.ts"
import { mapHandlers } from "../../src/demo/map-handlers.ts"

/** Subscribers that forget `transactional`: each handler opens a transaction of its own, and the batch is finished after that. */
export function changeShop(shop: OpenShop): OpenShop {
  const subscriber = (stream: never, subscription: string, handlers: unknown, options: object): unknown => {
    const apart = mapHandlers(handlers, (run) => (event, context: object) => shop.transaction(async (tx) => void (await run(event, { ...context, tx } as never))))
    return shop.sluice.subscriber(stream, subscription, apart as never, { ...options, transactional: false } as never)
  }
  return { ...shop, sluice: { ...shop.sluice, subscriber: subscriber as never } }
}
