import type { QueueOptions } from "@sluice/core"
import { inTime } from "./assert.ts"
import type { ConformanceCase } from "./case.ts"
import { detectCapabilities, type Capabilities } from "./detect-capabilities.ts"
import type { MakeDriver } from "./harness.ts"
import { openContext } from "./open-context.ts"
import { openPlace, type Place, type PlaceOptions } from "./open-place.ts"
import type { CaseReport } from "./report.ts"
import { rules } from "./rules.ts"
import { messagesOf, sqlStateOf } from "./sql-state.ts"

export interface RunOptions extends PlaceOptions {
  /** Per case, in milliseconds. Default 15000. */
  readonly timeout?: number
  /**
   * Creates every queue of the cases with these options unless a case gives its own: `{ storage: "dedicated" }` or a
   * `partition` proves that what holds in the shared storage holds there. Default: none.
   */
  readonly queueOptions?: QueueOptions
}

/** A driver at its place, ready for cases. What every runner is made of. */
export interface Run {
  readonly driverName: string
  /** Runs a case on a fresh driver. Never rejects. */
  runCase(group: string, one: ConformanceCase): Promise<CaseReport>
  close(): Promise<void>
}

export async function openRun(makeDriver: MakeDriver, options: RunOptions = {}): Promise<Run> {
  const place = await openPlace(makeDriver, options)
  const probe = await makeDriver(place.setup())
  const capabilities = detectCapabilities(probe, place)
  const driverName = probe.driver.name
  await probe.close()
  return {
    driverName,
    close: place.close,
    async runCase(group, one) {
      const head = { group, name: one.name, rule: one.rule }
      const reason = missing(one, capabilities)
      if (reason !== undefined) return { ...head, status: "skipped", reason, ms: 0, costs: [] }
      const start = performance.now()
      const { error, costs } = await attempt(one, makeDriver, place, options)
      const ms = Math.round((performance.now() - start) * 10) / 10
      if (error === undefined) return { ...head, status: "passed", ms, costs }
      return { ...head, status: "failed", error: explain(error.reason, one), ms, costs }
    },
  }
}

function missing(one: ConformanceCase, capabilities: Capabilities): string | undefined {
  for (const need of one.needs ?? []) {
    const has = capabilities[need]
    if (has !== true) return has
  }
  return undefined
}

async function attempt(
  one: ConformanceCase,
  makeDriver: MakeDriver,
  place: Place,
  { timeout = 15_000, queueOptions }: RunOptions,
): Promise<{ error?: { reason: unknown }; costs: CaseReport["costs"] }> {
  let open: Awaited<ReturnType<typeof openContext>> | undefined
  let error: { reason: unknown } | undefined
  try {
    open = await inTime(openContext(makeDriver, place, queueOptions), "makeDriver()", timeout)
    await inTime(one.run(open.context), "the case did not end", one.timeout ?? timeout)
  } catch (reason) {
    error = { reason }
  }
  // A case that failed often leaves a driver that cannot close: the first reason is the one to show.
  await open?.close().catch((reason: unknown) => (error ??= { reason }))
  return { error, costs: open?.costs ?? [] }
}

/** What the report says of a failed case. */
export function explain(reason: unknown, one: Pick<ConformanceCase, "rule">): string {
  const where = `\n  rule: ${rules[one.rule]} (README.md#${one.rule})`
  if (!(reason instanceof Error)) return `the driver threw ${String(reason)}${where}`
  if (reason.name === "ConformanceFailure") return reason.message + where
  const state = sqlStateOf(reason)
  return `the driver rejected: ${reason.name}: ${messagesOf(reason)}${state ? ` (SQLSTATE ${state})` : ""}${where}`
}
