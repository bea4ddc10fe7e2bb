import { once } from "node:events"
import type { PaymentProvider } from "../payments.ts"
import type { PlannedOrder } from "./plan-orders.ts"

export interface DemoProvider extends PaymentProvider {
  repair(): void
}

/** A payment provider as they are, but for chance: what it does with an order follows from the order's fate. */
export function createProvider(planned: readonly PlannedOrder[]): DemoProvider {
  const fates = new Map(planned.map(({ id, fate }) => [id, fate]))
  const failures = new Map<string, number>()
  let broken = true
  return {
    async charge(orderId, signal) {
      const fate = fates.get(orderId)
      if (fate === "refused" && broken) throw new Error("The provider answered 500: no such currency.")
      if (fate === "unanswered") await once(signal, "abort")
      const failed = failures.get(orderId) ?? 0
      if (fate !== "flaky" || failed === 2) return
      failures.set(orderId, failed + 1)
      throw new Error("The provider did not answer in time.")
    },
    repair: () => void (broken = false),
  }
}
