/** What came out of a workload: rows for a program to read, and the same as a table for people. */
export interface Outcome {
  readonly title: string
  readonly rows: readonly object[]
  readonly head: readonly string[]
  readonly cells: readonly (readonly string[])[]
}

/** `columns` says how each column of the table is made from a row. */
export function createOutcome<Row extends object>(
  title: string,
  columns: Readonly<Record<string, (row: Row) => string>>,
  rows: readonly Row[],
): Outcome {
  const cells = rows.map((row) => Object.values(columns).map((text) => text(row)))
  return { title, rows, head: Object.keys(columns), cells }
}
