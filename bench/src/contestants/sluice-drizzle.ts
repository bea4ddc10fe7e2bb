import { drizzleDriver } from "@sluice/drizzle"
import { pgDriver } from "@sluice/pg"
import { drizzle } from "drizzle-orm/node-postgres"
import { Pool } from "pg"
import type { Contestant } from "../contestant.ts"
import { sluiceSession } from "./sluice-session.ts"

/** Over node-postgres, with the LISTEN of its pool. */
export const sluiceDrizzle: Contestant = {
  name: "sluice-drizzle",
  open(url, options) {
    const pool = new Pool({ connectionString: url, max: options.connections, idleTimeoutMillis: 0 })
    pool.on("error", () => {})
    const borrowed = pgDriver(pool)
    const driver = drizzleDriver(drizzle(pool), { listen: borrowed.listen })
    return sluiceSession(driver, options, async () => {
      await borrowed.close?.()
      await pool.end()
    })
  },
}
