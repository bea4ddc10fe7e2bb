import type { Backend } from "./backend.ts"
import { checkParsers, readValue } from "./rows.ts"

/** The type "unknown": the server infers the parameter's type, and no serializer of the client is registered for it. */
const unknownType = 705

/** Drizzle over a postgres.js client. */
export function postgresJs(sql: any): Backend {
  const { transform, parsers } = sql.options
  const columnName = restorer(transform.column)
  if (transform.row.from) throw new TypeError("drizzleDriver cannot undo the option `transform.row` of db.$client")
  if (["id", "visibleat"].some((word) => columnName(transform.column.from?.(word) ?? word) !== word)) {
    throw new TypeError("drizzleDriver cannot undo the option `transform.column` of db.$client")
  }
  checkParsers((oid, text) => {
    const value = text === null || !parsers[oid] ? text : parsers[oid](text)
    return transform.value.from ? transform.value.from(value, { name: "", type: oid, parser: parsers[oid] }) : value
  }, "`transform.value` or `types`")

  const columnsOf = (result: any): { name: string; as: string; oid: number }[] => {
    if (!("columns" in result)) throw new TypeError("One query must be one statement")
    return (result.columns ?? []).map((column: any) => ({
      as: column.name,
      name: columnName(column.name),
      oid: column.type,
    }))
  }

  // Unprepared statements behind one another on one connection hang for ever behind PgBouncer before 1.21. The hook is
  // the library's own, for BEGIN: false keeps the connection from taking another statement meanwhile.
  const alone = sql.options.prepare === false ? { onexecute: () => false } : {}

  return {
    maxConnections: sql.options.max,
    noticesFailure: true,
    query: async (text, values = [], { name } = {}) => {
      const settings = { prepare: values.length > 0 || name !== undefined, simple: false, ...alone }
      const parameters = values.map((value) => sql.typed(value, unknownType))
      const result = await sql.unsafe(text, parameters, settings).raw()
      const columns = columnsOf(result)
      return [...result].map((row: any) =>
        Object.fromEntries(columns.map((column, i) => [column.name, readValue(column, row[i]?.toString())])),
      ) as any[]
    },
    // Drizzle prints parameters in its errors and its log.
    parameter: (value) => Object.assign(sql.typed(value, unknownType), { toString: () => String(value), toJSON: () => value }),
    rows: (result) => {
      const columns = columnsOf(result)
      return [...result].map((row: any) =>
        Object.fromEntries(columns.map((column) => [column.name, readValue(column, row[column.as])])),
      )
    },
    guard: (begin) => begin(),
  }
}

/** Undoes `transform.column`: core's columns are single lower-case words; others go the client's own way back. */
function restorer({ from, to }: { from?: (name: string) => string; to?: (name: string) => string }) {
  return (name: string): string => {
    if (!from) return name
    const candidates = /^[a-z][a-z0-9]*$/i.test(name) ? [name.toLowerCase()] : []
    if (to) candidates.push(to(name))
    return candidates.find((candidate) => from(candidate) === name) ?? name
  }
}
