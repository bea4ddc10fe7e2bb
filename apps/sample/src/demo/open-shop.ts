import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { adapters } from "../adapters/adapters.ts"
import type { OpenShop } from "../adapters/open-shop.ts"

/** Opens a shop over an adapter. A module may change it, in every process: how a test breaks a worker and sees the demo notice. */
export async function openShop(adapter: string, url: string, name: string, prepare = (shop: OpenShop): OpenShop => shop): Promise<OpenShop> {
  const shop = prepare(adapters[adapter]!(url, name))
  const file = process.env.SLUICE_DEMO_CHANGE_SHOP
  if (!file) return shop
  const { changeShop } = (await import(pathToFileURL(resolve(file)).href)) as { changeShop(shop: OpenShop): OpenShop }
  return changeShop(shop)
}
