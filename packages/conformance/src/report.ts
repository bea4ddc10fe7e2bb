/** How a case ended. `skipped` always carries the reason. */
export type CaseStatus = "passed" | "failed" | "skipped"

export interface CaseReport {
  readonly group: string
  readonly name: string
  readonly rule: string
  readonly status: CaseStatus
  /** Why it failed, for the author of the driver. */
  readonly error?: string
  /** Why it was skipped. */
  readonly reason?: string
  readonly ms: number
  readonly costs: readonly OperationCost[]
}

/** What one operation of the driver costs on the wire. */
export interface OperationCost {
  readonly operation: string
  readonly statements: readonly string[]
  readonly roundTrips: number
}

/** The result of a run. Plain data: `JSON.stringify` keeps all of it. */
export interface ConformanceReport {
  readonly driver: string
  /** The set-up that the driver ran in: `plain`, `prepare: false`, `PgBouncer`. */
  readonly mode: string
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly ms: number
  readonly cases: readonly CaseReport[]
}

export function summarize(driver: string, mode: string, cases: readonly CaseReport[]): ConformanceReport {
  const count = (status: CaseStatus): number => cases.filter((one) => one.status === status).length
  const ms = Math.round(cases.reduce((sum, one) => sum + one.ms, 0))
  return { driver, mode, passed: count("passed"), failed: count("failed"), skipped: count("skipped"), ms, cases }
}
