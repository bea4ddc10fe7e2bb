import { drizzle } from "drizzle-orm/postgres-js"
import { drizzleDriver } from "@sluice/drizzle"
import { postgresJsDriver } from "@sluice/postgres-js"
import type { MakeDriver } from "@sluice/conformance"
import type { Adapter } from "../adapter.ts"
import { briefly } from "../places.ts"
import { nativeClient, openClient } from "./postgres-js-client.ts"
import { type PostgresJsSetUp, postgresJsModes } from "./postgres-js-modes.ts"

/** What a client of postgres.js returns by itself once `drizzle()` has it, in every version of Drizzle. */
const ownTypes = { bool: "Boolean", int4: "Number", int8: "String", float8: "Number" }

/** `@sluice/drizzle` over a client of postgres.js, with the LISTEN of `@sluice/postgres-js`. */
export function makeDrizzlePostgresJs(setUp: PostgresJsSetUp = {}): MakeDriver {
  return (place) => {
    const sql = openClient(place, setUp.client)
    const db = drizzle({ client: sql })
    const lender = postgresJsDriver(sql)
    return {
      driver: drizzleDriver(db, { listen: lender.listen }),
      begin: (isolationLevel, work) => db.transaction(work, { isolationLevel }),
      native: nativeClient(sql, setUp.returns ?? ownTypes),
      capabilities: setUp.capabilities,
      close: async () => {
        await lender.close?.()
        await sql.end({ timeout: 1 })
      },
    }
  }
}

const modes = postgresJsModes(makeDrizzlePostgresJs)

export const drizzlePostgresJs: Adapter = { name: "drizzle/postgres-js", modes }
export const drizzle1PostgresJs: Adapter = { name: "drizzle 1.0/postgres-js", modes: briefly(modes), drizzle: "drizzle-orm-1" }
