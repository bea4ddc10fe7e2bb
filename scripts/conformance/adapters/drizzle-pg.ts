import { drizzle } from "drizzle-orm/node-postgres"
import { drizzleDriver } from "@sluice/drizzle"
import { pgDriver } from "@sluice/pg"
import type { MakeDriver } from "@sluice/conformance"
import type { Adapter } from "../adapter.ts"
import { briefly } from "../places.ts"
import { type PgSetUp, pgModes } from "./pg-modes.ts"
import { nativePool, openPool, ownTypes } from "./pg-pool.ts"

/** `@sluice/drizzle` over a pool of node-postgres, with the LISTEN of `@sluice/pg`. */
export function makeDrizzlePg(setUp: PgSetUp = {}): MakeDriver {
  return (place) => {
    const pool = openPool(place, setUp.pool)
    const db = drizzle({ client: pool })
    const lender = pgDriver(pool)
    return {
      driver: drizzleDriver(db, { listen: lender.listen }),
      begin: (isolationLevel, work) => db.transaction(work, { isolationLevel }),
      native: nativePool(pool, setUp.returns ?? ownTypes),
      capabilities: setUp.capabilities,
      close: async () => {
        await lender.close?.()
        if (!pool.ending) await pool.end()
      },
    }
  }
}

const modes = pgModes(makeDrizzlePg)

export const drizzlePg: Adapter = { name: "drizzle/pg", modes }
export const drizzle1Pg: Adapter = { name: "drizzle 1.0/pg", modes: briefly(modes), drizzle: "drizzle-orm-1" }
