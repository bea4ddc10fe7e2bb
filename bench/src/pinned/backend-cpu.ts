import { readFileSync } from "node:fs"
import type { Client } from "pg"

/** Microseconds of CPU since the meter began. */
interface CpuTotals {
  readonly readers: number
  readonly all: number
}

/** Undefined where the server's processes cannot be looked at from here. */
export type CpuMeter = () => Promise<CpuTotals | undefined>

interface Backend {
  readonly pid: number
  readonly name: string
}

/**
 * Adds up what the kernel says of the backends of one database, but for the one that asks. Call it now and then: what a
 * backend used after the last call is lost when it ends.
 */
export function createCpuMeter(client: Client, readers: string): CpuMeter {
  const seen = new Map<number, number>()
  const totals = { readers: 0, all: 0 }
  const text = `select pid, application_name as name from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()`
  return async () => {
    const { rows } = await client.query<Backend>(text)
    for (const { pid, name } of rows) {
      const used = readCpu(pid, client.database!)
      if (used === undefined) return undefined
      const more = used - (seen.get(pid) ?? 0)
      seen.set(pid, used)
      totals.all += more
      if (name === readers) totals.readers += more
    }
    return { ...totals }
  }
}

/** A process of the same number on another machine, or outside of the server's container, has another title. */
function readCpu(pid: number, database: string): number | undefined {
  try {
    if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(database)) return undefined
    return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1000
  } catch {
    return undefined
  }
}
