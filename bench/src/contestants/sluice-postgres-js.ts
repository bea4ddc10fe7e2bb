import { postgresJsDriver } from "@sluice/postgres-js"
import postgres from "postgres"
import type { Contestant } from "../contestant.ts"
import { sluiceSession } from "./sluice-session.ts"

/** The library prepares by itself. */
export const sluicePostgresJs: Contestant = {
  name: "sluice-postgres-js",
  open(url, options) {
    const sql = postgres(url, { max: options.connections, onnotice: () => {} })
    return sluiceSession(postgresJsDriver(sql), options, () => sql.end())
  },
}
