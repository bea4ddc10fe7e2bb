import type { Shop } from "../orders.ts"

/** The same shop with something happening around its shipments: how the demo stops a consumer in the middle of its work. */
export function aroundShipment<S extends Shop<unknown>>(
  shop: S,
  around: (orderId: string, ship: () => Promise<void>) => Promise<void>,
): S {
  const { orders } = shop
  const insertShipment: typeof orders.insertShipment = (tx, orderId, delivery) =>
    around(orderId, () => orders.insertShipment(tx, orderId, delivery))
  return { ...shop, orders: { ...orders, insertShipment } }
}
