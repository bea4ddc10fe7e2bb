import type { DeadMessage } from "@sluice/core"
import { setTimeout as sleep } from "node:timers/promises"
import type { OpenShop } from "../adapters/open-shop.ts"
import type { DemoProvider } from "./create-provider.ts"

/** Waits for a payment to die of its errors, repairs the provider, and brings the payment back. Returns it as it lay dead. */
export async function redriveUnpaid({ sluice, payments }: OpenShop, provider: DemoProvider, signal: AbortSignal): Promise<DeadMessage> {
  for (;;) {
    const [dead] = await sluice.admin.redrive(payments.name, { preview: true })
    if (dead !== undefined) {
      provider.repair()
      await sluice.admin.redrive(payments.name)
      return dead
    }
    await sleep(50, undefined, { signal })
  }
}
