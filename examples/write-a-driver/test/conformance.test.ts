import { CamelCasePlugin, Kysely, PostgresDialect } from "kysely"
import { Pool } from "pg"
import { describeDriver } from "@sluice/conformance/vitest"
import type { DriverSetup, DriverUnderTest } from "@sluice/conformance"
import { kyselyDriver } from "../src/kysely-driver.ts"
import { serverUrl } from "./server-url.ts"

function makeDriver({ url, max = 4 }: DriverSetup): DriverUnderTest {
  const pool = new Pool({ connectionString: url, max })
  // Cases cut connections. To node-postgres that is an event, of the pool or of a client in use; unheard it ends the process.
  pool.on("error", () => {})
  pool.on("connect", (client) => client.on("error", () => {}))
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] })
  return {
    driver: kyselyDriver(db),
    begin: (isolation, work) => db.transaction().setIsolationLevel(isolation).execute(work),
    close: () => db.destroy(),
  }
}

describeDriver("kysely", makeDriver, { url: serverUrl })
