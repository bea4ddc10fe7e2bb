import { styleText } from "node:util"
import type { Audit } from "./audit.ts"
import type { LogEntry, StreamAudit } from "./audit-streams.ts"
import { formatTable } from "./format-table.ts"

export interface SummaryRow extends Audit {
  readonly name: string
  readonly streams: StreamAudit
}

const columns = ["orders", "rolledBack", "cancelled", "redelivered", "retried", "redriven", "lost", "duplicates"] as const
const titles = ["adapter", "orders", "sold out", "cancelled", "redelivered", "retried", "redriven", "lost", "duplicates"]

export function formatSummary(rows: readonly SummaryRow[]): string {
  const body = rows.map((row) => [row.name, ...columns.map((column) => cell(column, row[column]))])
  return formatTable(titles, body, titles.map((title) => (title === "adapter" ? "left" : "right")))
}

const streamColumns = ["published", "captured", "redelivered", "bookLost", "bookTwice", "logLost", "logTwice"] as const
const streamTitles = ["events of", "published", "captured", "redelivered", "book lost", "book twice", "audit lost", "audit twice"]

/** What the subscribers made of the events: the order book, and the audit log. */
export function formatStreams(rows: readonly SummaryRow[]): string {
  const body = rows.map(({ name, streams }) => [name, ...streamColumns.map((column) => cell(column, streams[column]))])
  return formatTable(streamTitles, body, streamTitles.map((_, i) => (i === 0 ? "left" : "right")))
}

export function formatLog(log: readonly LogEntry[]): string {
  return formatTable(["event", "type", "data"], log.map(({ event, type, data }) => [event, type, data]), ["right", "left", "left"])
}

function cell(column: (typeof columns)[number] | (typeof streamColumns)[number], value: number): string {
  if (!/lost|duplicates|twice/i.test(column)) return String(value)
  return styleText(value === 0 ? "green" : "red", String(value))
}
