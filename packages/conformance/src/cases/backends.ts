import type { Driver } from "@sluice/core"
import type { CaseContext } from "../case.ts"

/** Looks at the server's own list of connections to this database, from one that it leaves out. */
export interface Observer {
  /** Process ids of the client connections opened since: those of cases before may still be closing. */
  pids(): Promise<number[]>
  count(): Promise<number>
  /** How many of them have a transaction open. */
  inTransaction(): Promise<number>
  kill(pids: readonly number[]): Promise<void>
}

export async function openObserver({ connect }: CaseContext): Promise<Observer> {
  const { driver } = await connect({ max: 1 })
  const others = "datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"
  const all = async (): Promise<number[]> => {
    const rows = await driver.query<{ pid: number }>(`select pid::int4 as pid from pg_stat_activity where ${others}`)
    return rows.map((row) => row.pid)
  }
  const known = new Set(await all())
  const pids = async (): Promise<number[]> => (await all()).filter((pid) => !known.has(pid))
  return {
    pids,
    count: async () => (await pids()).length,
    inTransaction: () => countOpen(driver, others),
    async kill(victims) {
      const text = "select pg_terminate_backend(pid) as killed from unnest($1::text::int4[]) as pid"
      await driver.query(text, [`{${victims.join(",")}}`])
    },
  }
}

async function countOpen(driver: Driver, others: string): Promise<number> {
  const text = `select count(*)::int4 as n from pg_stat_activity where ${others} and state like 'idle in transaction%'`
  const rows = await driver.query<{ n: number }>(text)
  return rows[0]!.n
}
