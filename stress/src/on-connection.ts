import type { Pool, PoolClient } from "pg"

/** Lends a connection. One whose work failed is closed: nobody shall get it with a transaction open. */
export async function onConnection<T>(pool: Pool, work: (tx: PoolClient) => Promise<T>): Promise<T> {
  const tx = await pool.connect()
  try {
    const result = await work(tx)
    tx.release()
    return result
  } catch (error) {
    tx.release(true)
    throw error
  }
}
