import { openDrizzlePg, openDrizzlePostgresJs } from "./drizzle.ts"
import type { OpenShop } from "./open-shop.ts"
import { openPg } from "./pg.ts"
import { openPostgresJs } from "./postgres-js.ts"

/** Every way to run the shop. Which transaction type is behind an adapter no longer matters to who holds the whole shop. */
export const adapters: { [name: string]: (url: string, shop: string) => OpenShop } = {
  "pg": openPg,
  "postgres.js": openPostgresJs,
  "drizzle on pg": openDrizzlePg,
  "drizzle on postgres.js": openDrizzlePostgresJs,
}
