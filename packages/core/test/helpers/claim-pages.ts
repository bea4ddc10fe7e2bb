import type { Pool, PoolClient } from "pg"

export const claimWays = ["read", "pop"] as const
export type ClaimWay = (typeof claimWays)[number]

/** The call of a claim as the client makes it outside a caller's transaction. */
export const claimCall = (way: ClaimWay, queue: string, limit = 10): string =>
  `sluice.try_${way}('${queue}', ${limit}${way === "read" ? ", null" : ""}, true, null)`

/** Pages that a call looks at, all that its functions do included, and the rows that it gives. */
export async function callPages(db: PoolClient, call: string): Promise<{ pages: number; rows: number }> {
  const { rows } = await db.query(`explain (analyze, buffers, format json) select * from ${call}`)
  const { Plan: plan } = rows[0]["QUERY PLAN"][0]
  return { pages: plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], rows: plan["Actual Rows"] }
}

/**
 * Pages that one claim of 10 looks at: the worst of three, on a connection that has its
 * plans already. Each is rolled back, so that the next one finds what this one found.
 */
export async function claimPages(pool: Pool, way: ClaimWay, queue: string): Promise<number> {
  const tx = await pool.connect()
  try {
    const looks: number[] = []
    for (let i = 0; i < 5; i++) {
      await tx.query("begin")
      const { pages, rows } = await callPages(tx, claimCall(way, queue))
      await tx.query("rollback")
      if (rows !== 10) throw new Error(`the claim gave ${rows} messages`)
      looks.push(pages)
    }
    return Math.max(...looks.slice(2))
  } finally {
    tx.release()
  }
}
