import { afterAll, beforeAll, describe, it } from "vitest"
import type { MakeDriver } from "./harness.ts"
import { openRun, type Run } from "./open-run.ts"
import { selectCases, type ConformanceOptions } from "./run-conformance.ts"
import { summarize, type CaseReport, type ConformanceReport } from "./report.ts"

export interface DescribeOptions extends Omit<ConformanceOptions, "driver" | "onCase"> {
  /** Called once at the end, with what {@link runConformance} would have returned. */
  readonly onReport?: (report: ConformanceReport) => void | Promise<void>
}

/** Makes a vitest suite of the kit: one test per case. What a driver lacks is skipped with the reason as its note. */
export function describeDriver(name: string, makeDriver: MakeDriver, options: DescribeOptions = {}): void {
  const { mode = "plain", timeout = 15_000 } = options
  const cases = selectCases(options)
  const reports: CaseReport[] = []
  describe(mode === "plain" ? name : `${name} (${mode})`, () => {
    let run: Run
    beforeAll(async () => {
      run = await openRun(makeDriver, options)
    }, 60_000)
    afterAll(async () => {
      await run?.close()
      if (run !== undefined) await options.onReport?.(summarize(name, mode, reports))
    }, 60_000)
    for (const group of new Set(cases.map((selected) => selected.group))) {
      describe(group, () => {
        for (const { one } of cases.filter((selected) => selected.group === group)) {
          // The kit's own limit comes first, because it can tell what hangs.
          it(one.name, { timeout: (one.timeout ?? timeout) * 2 + 10_000, concurrent: false }, async ({ skip }) => {
            const report = await run.runCase(group, one)
            reports.push(report)
            if (report.status === "skipped") skip(report.reason)
            if (report.status === "failed") throw new Error(report.error)
          })
        }
      })
    }
  })
}
