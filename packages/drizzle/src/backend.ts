import type { SqlExecutor, SqlValue } from "@sluice/core"
import { postgresJs } from "./postgres-js.ts"
import { nodePostgres } from "./node-postgres.ts"

/** What differs between the clients that Drizzle runs on. */
export interface Backend extends SqlExecutor {
  readonly maxConnections?: number
  /** What `tx.execute` is given for a value, so that no serializer of the client is applied to it. */
  parameter(value: SqlValue): unknown
  /** Rows from what `tx.execute` resolves to. */
  rows(result: any): any[]
  /** Wraps what opens a transaction, where the client needs watching. */
  guard<T>(begin: () => Promise<T>): Promise<T>
  /** Whether the library itself rejects a transaction in which a failure was swallowed. */
  readonly noticesFailure: boolean
}

export function backendOf(client: any): Backend {
  if (typeof client?.unsafe === "function" && client.options?.transform) return postgresJs(client)
  if (typeof client?.connect === "function" && "totalCount" in client) return nodePostgres(client)
  throw new TypeError(
    "drizzleDriver takes a Drizzle database over a Pool of node-postgres or over a client of postgres.js (db.$client)",
  )
}
