import { Pool } from "pg"

/** A pool for the demo's own statements, closed behind them. */
export async function withPool<T>(url: string, work: (pool: Pool) => Promise<T>): Promise<T> {
  const pool = new Pool({ connectionString: url, max: 1, connectionTimeoutMillis: 10_000, query_timeout: 20_000 })
  pool.on("error", () => {}) // `end` does not wait for the server, which may drop the database meanwhile
  try {
    return await work(pool)
  } finally {
    await pool.end()
  }
}
