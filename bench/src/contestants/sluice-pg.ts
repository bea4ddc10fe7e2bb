import { pgDriver } from "@sluice/pg"
import { Pool } from "pg"
import type { Contestant } from "../contestant.ts"
import { sluiceSession } from "./sluice-session.ts"

/** As the README has it: the driver prepares nothing unless it is told to. */
export const sluicePg: Contestant = {
  name: "sluice-pg",
  open(url, options) {
    const pool = new Pool({ connectionString: url, max: options.connections, idleTimeoutMillis: 0 })
    pool.on("error", () => {})
    return sluiceSession(pgDriver(pool), options, () => pool.end())
  },
}
