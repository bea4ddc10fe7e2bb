import type { Driver, SqlExecutor } from "@sluice/core"

export interface Counted<Tx> {
  readonly driver: Driver<Tx>
  /** Statements begun, by their name without the schema's. */
  readonly counts: Map<string, number>
}

/** A driver that passes everything on, and counts statements outside transactions. */
export function countingDriver<Tx>(driver: Driver<Tx>): Counted<Tx> {
  const counts = new Map<string, number>()
  const query: SqlExecutor["query"] = (text, values, options) => {
    const name = options?.name?.replace(/^sluice_/, "") ?? text
    counts.set(name, (counts.get(name) ?? 0) + 1)
    return driver.query(text, values, options)
  }
  return { driver: { ...driver, query }, counts }
}
