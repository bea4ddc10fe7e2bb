import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, expect, test } from "vitest"
import { sumReports } from "../sum-reports.ts"

const folders: string[] = []
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })))

function report(content: object): string {
  const folder = mkdtempSync(join(tmpdir(), "sluice-report-"))
  folders.push(folder)
  mkdirSync(join(folder, ".vitest"))
  const counts = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0, testResults: [] }
  writeFileSync(join(folder, ".vitest/report.json"), JSON.stringify({ success: true, ...counts, ...content }))
  return folder
}

test("adds reports up", () => {
  const good = report({ numPassedTests: 3, numPendingTests: 1 })
  const bad = report({ success: false, numPassedTests: 2, numFailedTests: 1, numTodoTests: 1 })
  expect(sumReports([good, bad])).toEqual({ passed: 5, failed: 1, skipped: 2, missing: [] })
})

test("counts a missing report, a file that did not load and an error between tests as failed", () => {
  const unloaded = report({ success: false, testResults: [{ status: "failed", assertionResults: [] }] })
  const between = report({ success: false, numPassedTests: 1 })
  expect(sumReports([unloaded])).toMatchObject({ failed: 1 })
  expect(sumReports([between])).toMatchObject({ passed: 1, failed: 1 })
  expect(sumReports(["/nowhere"])).toEqual({ passed: 0, failed: 1, skipped: 0, missing: ["/nowhere"] })
})
