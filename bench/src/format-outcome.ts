import Table from "cli-table3"
import type { Outcome } from "./outcome.ts"

/** The table of an outcome under its title. Columns of numbers are aligned right. */
export function formatOutcome({ title, head, cells }: Outcome): string {
  const isNumber = (column: number): boolean => cells.every((row) => /^(\d|n\/a|$)/.test(row[column] ?? ""))
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, column) => (isNumber(column) ? "right" : "left")),
    style: { head: [], border: [] },
  })
  for (const row of cells) table.push([...row])
  // The library rules between all rows or none. Line 2 is under the head, line 2 + 2n above row n.
  const lines = table.toString().split("\n")
  const kept = lines.filter((line, i) => !line.startsWith("├") || i === 2 || startsGroup(cells, (i - 2) / 2))
  return `${title}\n${kept.join("\n")}`
}

/** Whether a group of rows of the same first cell begins here; where there are no groups, nothing begins one. */
function startsGroup(cells: Outcome["cells"], row: number): boolean {
  const isNew = (n: number): boolean => cells[n]?.[0] !== cells[n - 1]?.[0]
  return isNew(row) && !cells.every((_, n) => isNew(n))
}
