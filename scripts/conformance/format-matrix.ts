import type { CaseReport } from "@sluice/conformance"
import type { Outcome } from "./combination.ts"
import { formatTable } from "./format-table.ts"

/** The table for people: adapter x mode x group, then what was skipped and why, what it costs, and what failed. */
export function formatMatrix(outcomes: readonly Outcome[]): string {
  const sections = [matrix(outcomes), "passed/run   –n skipped, – all skipped, named below   · left to a line much like it; all run with --full", skips(outcomes), costs(outcomes), failures(outcomes)]
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`
}

function matrix(outcomes: readonly Outcome[]): string {
  const groups = [...new Set(outcomes.flatMap(({ report }) => report?.cases.map((one) => one.group) ?? []))]
  const head = ["adapter", "mode", ...groups, "all", "seconds"]
  const rows = outcomes.map(({ adapter, mode, ms, report, left, without }, i) => [
    adapter === outcomes[i - 1]?.adapter ? "" : adapter,
    mode,
    ...groups.map((group) => left?.includes(group) ? "·" : without?.groups.includes(group) ? "–" : cell(report?.cases.filter((one) => one.group === group) ?? [])),
    report ? cell(report.cases) : left?.length ? "·" : "skipped",
    (ms / 1000).toFixed(1),
  ])
  return formatTable(head, rows)
}

function cell(cases: readonly CaseReport[]): string {
  if (cases.length === 0) return ""
  const count = (status: CaseReport["status"]): number => cases.filter((one) => one.status === status).length
  const [passed, skipped] = [count("passed"), count("skipped")]
  const run = cases.length - skipped
  const result = run > 0 ? `${passed < run ? "✗ " : ""}${passed}/${run}` : ""
  return [result, skipped > 0 ? `–${skipped}` : ""].filter((part) => part !== "").join(" ")
}

/** Each skipped case once, with the lines of the table that skip it for the same reason. */
function skips(outcomes: readonly Outcome[]): string {
  const byReason = new Map<string, Map<string, string[]>>()
  for (const { adapter, mode, report, skipped, without } of outcomes) {
    const line = `${adapter}, ${mode}`
    const all = (report?.cases ?? []).filter((one) => one.status === "skipped")
    const notes = all.map((one): [string, string] => [one.reason ?? "", `${one.group} › ${one.name}`])
    for (const group of without?.groups ?? []) notes.push([without?.because ?? "", `${group} › every case`])
    if (skipped !== undefined) notes.push([skipped, "every case"])
    for (const [reason, name] of notes) {
      const names = byReason.get(reason) ?? new Map<string, string[]>()
      byReason.set(reason, names.set(name, [...(names.get(name) ?? []), line]))
    }
  }
  const blocks = [...byReason].map(([reason, names]) => {
    // Cases that the same lines skip share one heading.
    const byLines = new Map<string, string[]>()
    for (const [name, lines] of names) {
      const key = shorten(lines)
      byLines.set(key, [...(byLines.get(key) ?? []), name])
    }
    return [...byLines].map(([lines, cases]) => [`Skipped, because ${reason}`, `  in ${lines}`, ...cases.map((name) => `    ${name}`)].join("\n"))
  })
  return blocks.flat().join("\n")
}

/** `pg (plain, PgBouncer); pglite (plain)` */
function shorten(lines: readonly string[]): string {
  const modes = new Map<string, string[]>()
  for (const line of lines) {
    const [adapter = "", mode = ""] = line.split(/, (.*)/s)
    modes.set(adapter, [...(modes.get(adapter) ?? []), mode])
  }
  return [...modes].map(([adapter, names]) => `${adapter} (${names.join(", ")})`).join("; ")
}

/** What operations cost on the wire in plain mode: statements and round trips. */
function costs(outcomes: readonly Outcome[]): string {
  const plain = outcomes.filter(({ mode, report }) => mode === "plain" && report?.cases.some((one) => one.costs.length > 0))
  const all = plain.map(({ report }) => report?.cases.flatMap((one) => one.costs) ?? [])
  const operations = [...new Set(all.flatMap((list) => list.map((cost) => cost.operation)))]
  const rows = operations.map((operation) => [
    operation,
    ...all.map((list) => {
      const cost = list.find((one) => one.operation === operation)
      return cost ? `${cost.statements.length} / ${cost.roundTrips}` : ""
    }),
  ])
  return rows.length === 0 ? "" : formatTable(["statements / round trips, plain", ...plain.map(({ adapter }) => adapter)], rows)
}

/** In full; once where many lines fail in the same way, as they do when the fault is in core. */
function failures(outcomes: readonly Outcome[]): string {
  const same = new Map<string, { readonly name: string; readonly error: string; readonly lines: string[] }>()
  for (const { adapter, mode, report } of outcomes) {
    for (const { group, name, error = "" } of (report?.cases ?? []).filter((one) => one.status === "failed")) {
      // Names that a case makes up differ from run to run.
      const key = `${group} › ${name} ${error.replace(/_[0-9a-f]{6}_\d+|\d+/g, "#")}`
      const known = same.get(key) ?? { name: `${group} › ${name}`, error, lines: [] }
      known.lines.push(`${adapter}, ${mode}`)
      same.set(key, known)
    }
  }
  return [...same.values()]
    .map(({ name, error, lines }) => `FAILED ${name}\n  in ${shorten(lines)}\n  ${error.replaceAll("\n", "\n  ")}`)
    .join("\n")
}
