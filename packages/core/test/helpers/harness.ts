import { type Client, createClient, type QueueOptions } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { databasePerFile } from "@sluice/testkit/vitest"
import { Pool, type PoolClient } from "pg"
import { afterAll } from "vitest"

export interface Harness {
  readonly url: string
  readonly pool: Pool
  readonly client: Client<PoolClient>
  /** Creates a queue of a name that no other test uses. */
  freshQueue(options?: QueueOptions): Promise<string>
}

export function openPool(url: string, max = 10): Pool {
  const pool = new Pool({ connectionString: url, max })
  pool.on("error", () => {}) // a server that a test stops
  return pool
}

/** A database of this file's own with Sluice in it, unless it has one. The client polls: tests of waking make their own. */
export async function harness(own?: string): Promise<Harness> {
  const url = own ?? (await databasePerFile()).url
  const pool = openPool(url)
  const client = createClient(pgDriver(pool), { listen: false, notify: false })
  afterAll(async () => {
    await client.close()
    await pool.end()
  })
  await client.admin.install()
  let made = 0
  return {
    url,
    pool,
    client,
    freshQueue: async (options) => (await client.admin.createQueue(`queue.${++made}`, options)).name,
  }
}

/** Runs `work` between a statement that begins a transaction and one that ends it, on a connection of its own. */
export async function inTransaction<T>(
  pool: Pool,
  work: (tx: PoolClient) => Promise<T>,
  { begin = "begin", end = "commit" }: { begin?: string; end?: "commit" | "rollback" } = {},
): Promise<T> {
  const tx = await pool.connect()
  try {
    await tx.query(begin)
    const result = await work(tx)
    const { command } = await tx.query(end)
    if (command !== end.toUpperCase()) throw new Error(`${end} was answered by ${command}`)
    return result
  } catch (error) {
    await tx.query("rollback").catch(() => {})
    throw error
  } finally {
    tx.release()
  }
}
