import type { Shop } from "../orders.ts"

export interface OpenShop<Tx = unknown> extends Shop<Tx> {
  close(): Promise<void>
}
