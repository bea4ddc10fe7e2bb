import type { OpenShop } from "../../src/adapters/open-shop.ts"

/** A warehouse that forgets `transactional`: its handler opens a transaction of its own, and its message is settled after that. */
export function changeShop(shop: OpenShop): OpenShop {
  const { shipping, transaction } = shop
  const handler: typeof shipping.handler = (run: (message: never, context: never) => unknown, options: object = {}) =>
    shipping.handler(
      (message, context) => transaction(async (tx) => void (await run(message as never, { ...context, tx } as never))),
      { ...options, transactional: false },
    )
  return { ...shop, shipping: { ...shipping, handler } }
}
