import type postgres from "postgres"

type Transform = postgres.ParsedOptions["transform"]

const number = (text: string): number => Number(text)
const parsers: Record<number, (text: string) => unknown> = {
  16: (text) => text === "t",
  21: number,
  23: number,
  26: number,
  700: number,
  701: number,
}

/** Makes rows of what `.raw()` gives: bytes that no parser and no value transform of the client has touched. */
export function readRows<Row>(result: postgres.RawRowList<any[]>, transform: Transform): Row[] {
  const columns = result.columns.map(({ name, type }) => ({ name: columnName(name, transform), parse: parsers[type] }))
  return (result as unknown as (Buffer | null)[][]).map((values) => {
    const row: Record<string, unknown> = {}
    columns.forEach(({ name, parse }, i) => {
      const text = values[i]?.toString() ?? null
      row[name] = text === null || !parse ? text : parse(text)
    })
    return row as Row
  })
}

/**
 * Undoes `transform.column`, which is applied before anybody sees the name. Core's columns are single lower-case words,
 * so such a word is preferred; for others the client's own way back is tried.
 */
function columnName(name: string, { column }: Transform): string {
  if (!column.from) return name
  const candidates = [
    ...(/^[a-z][a-z0-9]*$/i.test(name) ? [name.toLowerCase()] : []),
    ...(column.to ? [column.to(name)] : []),
  ]
  return candidates.find((candidate) => column.from?.(candidate) === name) ?? name
}

/** Refuses what cannot be undone: a transform of whole rows sees even raw ones. */
export function checkTransform(transform: Transform): void {
  if (transform.row.from) throw new TypeError("postgresJsDriver cannot undo the option `transform.row` of this client")
  const { from } = transform.column
  if (from && ["id", "visibleat"].some((word) => columnName(from(word), transform) !== word)) {
    throw new TypeError("postgresJsDriver cannot undo the option `transform.column` of this client")
  }
}
