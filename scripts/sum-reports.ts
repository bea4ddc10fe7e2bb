import { readFileSync } from "node:fs"
import { join } from "node:path"

interface Report {
  readonly success: boolean
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly { status: string; assertionResults: readonly { status: string }[] }[]
}

export interface Totals {
  passed: number
  failed: number
  skipped: number
  missing: string[]
}

/** Adds up `.vitest/report.json` of each folder. A missing report and a file that failed to load count as failed. */
export function sumReports(folders: readonly string[]): Totals {
  const totals: Totals = { passed: 0, failed: 0, skipped: 0, missing: [] }
  for (const folder of folders) {
    const report = readReport(join(folder, ".vitest/report.json"))
    if (!report) {
      totals.missing.push(folder)
      totals.failed++
      continue
    }
    const unloaded = report.testResults.filter(
      (file) => file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
    )
    const failed = report.numFailedTests + unloaded.length
    totals.passed += report.numPassedTests
    totals.skipped += report.numPendingTests + report.numTodoTests
    totals.failed += failed === 0 && !report.success ? 1 : failed // such as an error between tests
  }
  return totals
}

function readReport(path: string): Report | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Report
  } catch {
    return undefined
  }
}
