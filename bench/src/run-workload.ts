import { createDatabase, type TestDatabase } from "@sluice/testkit"
import type { Outcome } from "./outcome.ts"
import { withSessions } from "./with-sessions.ts"
import type { Bench, Plan, Workload } from "./workload.ts"

export interface RunOptions {
  readonly serverUrl: string
  readonly stop: AbortSignal
  log(line: string): void
}

/** Runs one workload on databases of its own, and drops them. */
export async function runWorkload(workload: Workload, plan: Plan, { serverUrl, stop, log }: RunOptions): Promise<Outcome> {
  const databases: TestDatabase[] = []
  const createPlace: Bench["createPlace"] = async (contestant, options) => {
    stop.throwIfAborted()
    const database = await createDatabase(serverUrl, `bench ${workload.name} ${contestant.name}`)
    databases.push(database)
    const place = { contestant, url: database.url }
    await withSessions(place, [{ connections: 1, ...options }], (session) => session!.setup())
    return place
  }
  try {
    return await workload.run({ ...plan, stop, log, createPlace })
  } finally {
    for (const { name, drop } of databases) await drop().catch(() => log(`The database ${name} could not be dropped.`))
  }
}
