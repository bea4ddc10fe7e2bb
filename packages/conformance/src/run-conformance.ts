import { groups as allGroups, type GroupName } from "./cases/groups.ts"
import type { ConformanceCase } from "./case.ts"
import type { MakeDriver } from "./harness.ts"
import { openRun, type RunOptions } from "./open-run.ts"
import { summarize, type CaseReport, type ConformanceReport } from "./report.ts"

export interface ConformanceOptions extends RunOptions {
  /** The groups to run. Default: all. */
  readonly groups?: readonly GroupName[]
  /** The cases to run, by name. Default: all. A name that no case has is an error. */
  readonly only?: readonly string[]
  /** Names the driver in the report. Default: `driver.name`. */
  readonly driver?: string
  /** Says in the report how the driver was set up. Default: `plain`. */
  readonly mode?: string
  /** Called after every case. */
  readonly onCase?: (report: CaseReport) => void
}

/** Runs the cases one after another and reports. Rejects only if the run itself cannot begin or end. */
export async function runConformance(
  makeDriver: MakeDriver,
  options: ConformanceOptions = {},
): Promise<ConformanceReport> {
  const cases = selectCases(options)
  const run = await openRun(makeDriver, options)
  const reports: CaseReport[] = []
  try {
    for (const { group, one } of cases) {
      const report = await run.runCase(group, one)
      reports.push(report)
      options.onCase?.(report)
    }
  } finally {
    await run.close()
  }
  return summarize(options.driver ?? run.driverName, options.mode ?? "plain", reports)
}

export function selectCases(
  options: Pick<ConformanceOptions, "groups" | "only">,
): { group: GroupName; one: ConformanceCase }[] {
  const { groups, only } = options
  const cases = allGroups
    .filter((group) => groups === undefined || groups.includes(group.name))
    .flatMap((group) => group.cases.map((one) => ({ group: group.name, one })))
  const unknown = only?.find((name) => !cases.some(({ one }) => one.name === name))
  if (unknown !== undefined) throw new TypeError(`no conformance case is named "${unknown}"`)
  return only === undefined ? cases : cases.filter(({ one }) => only.includes(one.name))
}
