import type { CaseReport, ConformanceReport } from "./report.ts"

/** A table of driver x mode x group for people, with failures, skips and costs by name beneath. */
export function formatReport(reports: ConformanceReport | readonly ConformanceReport[]): string {
  const runs = "cases" in reports ? [reports] : reports
  const groups = [...new Set(runs.flatMap((run) => run.cases.map((one) => one.group)))]
  const head = ["driver", "mode", ...groups, "all", "seconds"]
  const rows = runs.map((run) => [
    run.driver,
    run.mode,
    ...groups.map((group) => cell(run.cases.filter((one) => one.group === group))),
    cell(run.cases),
    (run.ms / 1000).toFixed(1),
  ])
  const sections = [
    table(head, rows),
    "✓ all passed   ✗ failed of all   –n skipped, named below",
    ...runs.map(failures),
    ...runs.map(skips),
    costs(runs),
  ]
  return sections.filter((section) => section !== "").join("\n\n") + "\n"
}

function cell(cases: readonly CaseReport[]): string {
  if (cases.length === 0) return ""
  const count = (status: string): number => cases.filter((one) => one.status === status).length
  const [failed, skipped] = [count("failed"), count("skipped")]
  const run = cases.length - skipped
  const result = failed > 0 ? `✗ ${failed} of ${run}` : run > 0 ? `✓ ${run}` : ""
  return [result, skipped > 0 ? `–${skipped}` : ""].filter((part) => part !== "").join(" ")
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, i) => text.padEnd(widths[i]!))
      .join(" │ ")
      .trimEnd()
  const rule = widths.map((width) => "─".repeat(width)).join("─┼─")
  return [line(head), rule, ...rows.map(line)].join("\n")
}

function failures(run: ConformanceReport): string {
  const lines = run.cases
    .filter((one) => one.status === "failed")
    .map((one) => `  ${one.group} › ${one.name}\n    ${one.error!.replaceAll("\n", "\n    ")}`)
  return lines.length === 0 ? "" : [`Failed: ${run.driver}, ${run.mode}`, ...lines].join("\n")
}

/** By reason, because one reason often explains many. */
function skips(run: ConformanceReport): string {
  const skipped = run.cases.filter((one) => one.status === "skipped")
  const lines = [...new Set(skipped.map((one) => one.reason))].flatMap((reason) => [
    `  ${reason}:`,
    ...skipped.filter((one) => one.reason === reason).map((one) => `    ${one.group} › ${one.name}`),
  ])
  return lines.length === 0 ? "" : [`Skipped: ${run.driver}, ${run.mode}`, ...lines].join("\n")
}

function costs(runs: readonly ConformanceReport[]): string {
  const rows = runs.flatMap((run) =>
    run.cases.flatMap((one) =>
      one.costs.map(({ operation, statements, roundTrips }) => [
        run.driver,
        run.mode,
        operation,
        String(statements.length),
        String(roundTrips),
      ]),
    ),
  )
  return rows.length === 0 ? "" : table(["driver", "mode", "operation", "statements", "round trips"], rows)
}
