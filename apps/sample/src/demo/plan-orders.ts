import type { Order } from "../orders.ts"

/** What will happen to an order. All but the sold out, withdrawn and unanswered ones are to be paid and shipped once. */
export type Fate =
  | "plain"
  /** The transaction that places it rolls back. */
  | "sold out"
  /** The first two payments fail. */
  | "flaky"
  /** Every payment fails until the provider is repaired. */
  | "refused"
  /** Cancelled while its message waits. */
  | "withdrawn"
  /** The provider never answers, and it is cancelled while the worker waits for it. */
  | "unanswered"

export interface PlannedOrder extends Order {
  readonly fate: Fate
}

const fates: { readonly [place: number]: Fate } = { 2: "flaky", 5: "refused", 8: "flaky", 11: "withdrawn", 14: "flaky", 17: "unanswered" }

export function planOrders(key: string, count: number = 24): PlannedOrder[] {
  return Array.from({ length: count }, (_, i) => {
    const fate = i % 6 === 3 ? "sold out" : (fates[i] ?? "plain")
    return { id: `${key}-${String(i + 1).padStart(2, "0")}`, sku: fate === "sold out" ? "unicorn" : "teapot", quantity: 1 + (i % 3), fate }
  })
}
