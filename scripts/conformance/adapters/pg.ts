import { pgDriver, type PgDriverOptions } from "@sluice/pg"
import type { MakeDriver } from "@sluice/conformance"
import type { Adapter } from "../adapter.ts"
import { storageModes } from "../places.ts"
import { type PgSetUp, pgModes } from "./pg-modes.ts"
import { beginOn, nativePool, openPool, ownTypes } from "./pg-pool.ts"

/** `@sluice/pg` over a borrowed pool. */
export function makePg(setUp: PgSetUp = {}, options: PgDriverOptions = {}): MakeDriver {
  return (place) => {
    const pool = openPool(place, setUp.pool)
    const driver = pgDriver(pool, options)
    return {
      driver,
      begin: beginOn(pool),
      native: nativePool(pool, setUp.returns ?? ownTypes),
      fromUrl: (url) => pgDriver(url, options),
      capabilities: setUp.capabilities,
      close: async () => {
        await driver.close?.()
        if (!pool.ending) await pool.end()
      },
    }
  }
}

export const pg: Adapter = {
  name: "pg",
  modes: [...pgModes(makePg), { name: "prepare: true", make: makePg({}, { prepare: true }) }, ...storageModes(makePg())],
}
