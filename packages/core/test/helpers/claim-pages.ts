import type { Pool } from "pg"

export const claimWays = ["read", "pop"] as const
export type ClaimWay = (typeof claimWays)[number]

/** The call of a claim as the client makes it outside a caller's transaction. */
export const claimCall = (way: ClaimWay, queue: string, limit = 10): string =>
  `sluice.try_${way}('${queue}', ${limit}${way === "read" ? ", null" : ""}, true, null)`

/**
 * Pages that one claim of 10 looks at, all that its functions do included: the worst of three, on a connection that has its
 * plans already. Each is rolled back, so that the next one finds what this one found.
 */
export async function claimPages(pool: Pool, way: ClaimWay, queue: string): Promise<number> {
  const tx = await pool.connect()
  try {
    const looks: number[] = []
    for (let i = 0; i < 5; i++) {
      await tx.query("begin")
      const { rows } = await tx.query(`explain (analyze, buffers, format json) select * from ${claimCall(way, queue)}`)
      await tx.query("rollback")
      const { Plan: plan } = rows[0]["QUERY PLAN"][0]
      if (plan["Actual Rows"] !== 10) throw new Error(`the claim gave ${plan["Actual Rows"]} messages`)
      looks.push(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    }
    return Math.max(...looks.slice(2))
  } finally {
    tx.release()
  }
}
