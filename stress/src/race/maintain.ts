import { type Client, ConnectionError, createClient, type MaintenanceReport } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import type { PoolClient } from "pg"
import { openPool } from "../open-pool.ts"
import { MAINTAINER, maintenanceOptions } from "./settings.ts"

/** Starts maintenance on a connection of its own. That this is terminated now and then is no error. */
export function maintain(url: string, onReport: (report: MaintenanceReport) => void, onError: (error: unknown) => void): { stop(): Promise<void> } {
  const pool = openPool(url, 1, MAINTAINER)
  const client: Client<PoolClient> = createClient(pgDriver(pool), { listen: false })
  client.maintenance({ ...maintenanceOptions, onReport, onError: (error) => error instanceof ConnectionError || onError(error) }).start()
  return {
    stop: async () => {
      await client.close()
      await pool.end()
    },
  }
}
