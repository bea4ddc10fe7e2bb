import { drizzle } from "drizzle-orm/postgres-js"
import { postgresJsDriver } from "@sluice/postgres-js"
import type { MakeDriver } from "@sluice/conformance"
import type { Adapter } from "../adapter.ts"
import { beginOn, nativeClient, openClient, ownTypes } from "./postgres-js-client.ts"
import { type PostgresJsSetUp, postgresJsModes } from "./postgres-js-modes.ts"

/** `@sluice/postgres-js` over a borrowed client. */
export function makePostgresJs(setUp: PostgresJsSetUp = {}): MakeDriver {
  return (place) => {
    const sql = openClient(place, setUp.client)
    if (setUp.sharedWithDrizzle) drizzle({ client: sql })
    const driver = postgresJsDriver(sql)
    return {
      driver,
      begin: beginOn(sql),
      native: nativeClient(sql, setUp.returns ?? ownTypes),
      fromUrl: (url) => postgresJsDriver(url, { onnotice: () => {}, ...setUp.client }),
      capabilities: setUp.capabilities,
      close: async () => {
        await driver.close?.()
        await sql.end({ timeout: 1 })
      },
    }
  }
}

/** `drizzle()` makes texts of the times that its client reads. */
const afterDrizzle = { ...ownTypes, timestamptz: "String", date: "String" }

export const postgresJs: Adapter = {
  name: "postgres-js",
  modes: [
    ...postgresJsModes(makePostgresJs),
    { name: "shared with Drizzle", make: makePostgresJs({ sharedWithDrizzle: true, returns: afterDrizzle }) },
  ],
}
