import { type Client, createClient, type ClientOptions, type Driver } from "@sluice/core"
import { drizzleDriver } from "@sluice/drizzle"
import { pgDriver } from "@sluice/pg"
import { postgresJsDriver } from "@sluice/postgres-js"
import { drizzle as overPg } from "drizzle-orm/node-postgres"
import { drizzle as overPostgresJs } from "drizzle-orm/postgres-js"
import { Pool } from "pg"
import postgres from "postgres"

export const driverNames = ["pg", "postgres.js", "drizzle over pg", "drizzle over postgres.js"] as const
export type DriverName = (typeof driverNames)[number]

export interface OpenClient {
  readonly client: Client
  /** Closes the client and the connections under it. */
  end(): Promise<void>
}

/** A client over any of the drivers. What a test does with it is the same for all of them. */
export function openClient(name: DriverName, url: string, options: ClientOptions = {}, max = 3): OpenClient {
  const { driver, end } = openDriver(name, url, max)
  const client = createClient(driver, { listen: false, notify: false, ...options })
  return { client, end: () => client.close().then(end) }
}

/** A driver over a pool of its own, and the end of that. */
export function openDriver(name: DriverName, url: string, max: number): { driver: Driver; end(): Promise<void> } {
  if (name === "pg" || name === "drizzle over pg") {
    const pool = new Pool({ connectionString: url, max })
    pool.on("error", () => {}) // a server that a test stops
    const driver = name === "pg" ? pgDriver(pool) : drizzleDriver(overPg(pool))
    return { driver: driver as Driver, end: () => pool.end() }
  }
  const sql = postgres(url, { max, connect_timeout: 5, backoff: () => 0.01, onnotice: () => {} })
  const driver = name === "postgres.js" ? postgresJsDriver(sql) : drizzleDriver(overPostgresJs(sql))
  return { driver: driver as Driver, end: () => sql.end({ timeout: 1 }) }
}
