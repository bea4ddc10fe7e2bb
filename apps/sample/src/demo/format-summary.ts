import { styleText } from "node:util"
import type { Audit } from "./audit.ts"
import { formatTable } from "./format-table.ts"

export interface SummaryRow extends Audit {
  readonly name: string
}

const columns = ["orders", "rolledBack", "cancelled", "redelivered", "retried", "redriven", "lost", "duplicates"] as const
const titles = ["adapter", "orders", "sold out", "cancelled", "redelivered", "retried", "redriven", "lost", "duplicates"]

export function formatSummary(rows: readonly SummaryRow[]): string {
  const body = rows.map((row) => [row.name, ...columns.map((column) => cell(column, row[column]))])
  return formatTable(titles, body, titles.map((title) => (title === "adapter" ? "left" : "right")))
}

function cell(column: (typeof columns)[number], value: number): string {
  if (column !== "lost" && column !== "duplicates") return String(value)
  return styleText(value === 0 ? "green" : "red", String(value))
}
