import { styleText } from "node:util"
import Table from "cli-table3"
import type { Audit } from "./audit.ts"

export interface SummaryRow extends Audit {
  readonly name: string
  readonly seconds: number
}

const columns = ["orders", "messages", "rolledBack", "redelivered", "lost", "duplicates"] as const
const titles = ["adapter", "orders", "messages", "rolled back", "redelivered", "lost", "duplicates", "time"]

export function formatSummary(rows: readonly SummaryRow[]): string {
  const table = new Table({
    head: titles,
    colAligns: titles.map((title) => (title === "adapter" ? "left" : "right")),
    style: { head: [], border: [] },
  })
  for (const row of rows) table.push([row.name, ...columns.map((column) => cell(column, row[column])), `${row.seconds.toFixed(1)} s`])
  // The library rules between all rows or none: only the rule under the head stays.
  return table.toString().split("\n").filter((line, i) => i === 2 || !line.startsWith("├")).join("\n")
}

function cell(column: (typeof columns)[number], value: number): string {
  if (column !== "lost" && column !== "duplicates") return String(value)
  return styleText(value === 0 ? "green" : "red", String(value))
}
