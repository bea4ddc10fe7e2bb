import type { Backend } from "./backend.ts"
import { checkParsers, readValue } from "./rows.ts"

const asText = { getTypeParser: () => String }

/** Drizzle over a node-postgres Pool. */
export function nodePostgres(pool: any): Backend {
  // A client that never connects tells which parsers `pg.types` holds: the ones Drizzle reads with.
  const parsers = pool.Client && new pool.Client()
  if (parsers?.getTypeParser) {
    checkParsers((oid, text) => (text === null ? null : parsers.getTypeParser(oid, "text")(text)), "`pg.types`")
  }
  if (pool.options?.binary) throw new TypeError("drizzleDriver cannot undo the option `binary` of db.$client")

  const rows: Backend["rows"] = (result) => {
    if (Array.isArray(result)) throw new TypeError("One query must be one statement")
    const columns = result.fields.map((field: any) => ({ name: field.name, oid: field.dataTypeID }))
    return result.rows.map((row: any) =>
      Object.fromEntries(columns.map((column: any) => [column.name, readValue(column, row[column.name])])),
    )
  }
  const watched = new WeakSet()
  let open = 0
  // Older Drizzle does not listen to a client it has checked out: a backend that dies would take the process with it.
  const watch = (client: any): void => {
    if (watched.has(client)) return
    watched.add(client)
    client.on("error", () => {})
  }

  return {
    maxConnections: pool.options?.max,
    noticesFailure: false,
    query: async (text, values = []) => rows(await pool.query({ text, values, types: asText, queryMode: "extended" })),
    parameter: (value) => value,
    rows,
    guard: async (begin) => {
      if (open++ === 0) pool.on("acquire", watch)
      try {
        return await begin()
      } finally {
        if (--open === 0) pool.removeListener("acquire", watch)
      }
    },
  }
}
