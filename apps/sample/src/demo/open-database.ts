import { createClient, sqlState } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { createDatabase } from "@sluice/testkit"
import { createEvents } from "../events.ts"
import { createQueues } from "../queues.ts"
import { createTables, shopSchema, sluiceSchema } from "../tables.ts"
import { withPool } from "./with-pool.ts"

export interface DemoDatabase {
  readonly url: string
  /** Leaves the server as it was. */
  close(): Promise<void>
}

/** A database of the demo's own, or two schemas of its own where the role may not create databases. */
export async function openDatabase(serverUrl: string, log: (line: string) => void): Promise<DemoDatabase> {
  try {
    const { url, drop } = await createDatabase(serverUrl, "demo")
    return { url, close: drop }
  } catch (error) {
    if (sqlState(error) !== "42501") throw error
    log(`May not create a database here, so the schemas ${shopSchema} and ${sluiceSchema} are taken, and dropped at the end.`)
    await refuseLeftovers(serverUrl)
    return { url: serverUrl, close: () => dropSchemas(serverUrl) }
  }
}

/** Creates the shop's tables, Sluice, and the queues and the stream of each shop, with leases that the demo can wait for. */
export async function install(url: string, shops: readonly string[]): Promise<void> {
  await withPool(url, async (pool) => {
    await pool.query(createTables)
    const { admin } = createClient(pgDriver(pool), { schema: sluiceSchema })
    await admin.install()
    for (const shop of shops) {
      await createQueues(admin, shop, "3s")
      await createEvents(admin, shop)
    }
  })
}

async function refuseLeftovers(url: string): Promise<void> {
  await withPool(url, async (pool) => {
    const found = "select nspname as name from pg_namespace where nspname in ($1, $2)"
    const { rows } = await pool.query<{ name: string }>(found, [shopSchema, sluiceSchema])
    if (rows.length === 0) return
    const names = rows.map(({ name }) => name).join(", ")
    throw new Error(`This database has the schema ${names} already, left by another demo. If it is not running: drop schema ${names} cascade`)
  })
}

async function dropSchemas(url: string): Promise<void> {
  await withPool(url, (pool) => pool.query(`drop schema if exists ${shopSchema}, ${sluiceSchema} cascade`))
}
