import type { PoolClient } from "pg"
import { callPages } from "./claim-pages.ts"
import type { Harness } from "./harness.ts"
import type { TestStream } from "./streams.ts"

/** The call of `nextBatch` as the client makes it. */
export const nextCall = (stream: string, { minLag = null, maxEvents = 1000 }: { minLag?: string | null; maxEvents?: number } = {}): string =>
  `sluice.try_next_batch('${stream}', 'sub', 'gate', false, null, ${maxEvents}, 1, null, ${minLag === null ? "null" : `'${minLag}'`}, true, 1000)`

/** Pages that an idle `nextBatch` looks at: the most of three on a connection that has its plans already. Rolled back, so that each finds what the one before found. */
export async function idlePages(pool: Harness["pool"], stream: TestStream, how?: Parameters<typeof nextCall>[1], keep = false): Promise<number> {
  const tx: PoolClient = await pool.connect()
  try {
    const looks: number[] = []
    for (let i = 0; i < 6; i++) {
      await tx.query("begin")
      const { pages, rows } = await callPages(tx, nextCall(stream.name, how))
      await tx.query(keep ? "commit" : "rollback")
      if (rows !== 0) throw new Error(`it gave ${rows} rows`)
      looks.push(pages)
    }
    return Math.max(...looks.slice(3))
  } finally {
    tx.release()
  }
}
