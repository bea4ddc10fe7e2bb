import type { Order } from "../orders.ts"

export interface PlannedOrder extends Order {
  /** Nobody has a unicorn in stock: the transaction that places such an order rolls back. */
  readonly accepted: boolean
}

export function planOrders(key: string, count: number = 24): PlannedOrder[] {
  return Array.from({ length: count }, (_, i) => {
    const accepted = i % 6 !== 3
    return { id: `${key}-${String(i + 1).padStart(2, "0")}`, sku: accepted ? "teapot" : "unicorn", quantity: 1 + (i % 3), accepted }
  })
}
