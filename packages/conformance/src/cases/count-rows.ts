import type { SqlExecutor } from "@sluice/core"

export async function countRows(executor: SqlExecutor, table: string): Promise<number> {
  const rows = await executor.query<{ n: number }>(`select count(*)::int4 as n from ${table}`)
  return rows[0]!.n
}

/** Who runs a statement: the server process and its transaction. */
export interface Position {
  pid: number
  xid: string
}

export async function positionOf(executor: SqlExecutor): Promise<Position> {
  const rows = await executor.query<Position>("select pg_backend_pid()::int4 as pid, pg_current_xact_id()::text as xid")
  return { ...rows[0]! }
}
