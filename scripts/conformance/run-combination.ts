import { fork } from "node:child_process"
import { join } from "node:path"
import type { CaseReport, ConformanceReport } from "@sluice/conformance"
import type { Outcome, Task, Told } from "./combination.ts"

/** No line takes nearly as long. */
const limit = 240_000

/** Runs one line of the table in a child process. A child that ends too early is a failure of the case it was in. */
export async function runCombination(
  task: Task,
  drizzle: string | undefined,
  onCase: (one: CaseReport) => void,
): Promise<Outcome> {
  const started = performance.now()
  const cases: CaseReport[] = []
  let output = ""
  let report: ConformanceReport | undefined
  let broken: string | undefined
  const child = fork(join(import.meta.dirname, "child.ts"), {
    execArgv: drizzle ? ["--import", join(import.meta.dirname, "alias-drizzle.ts")] : [],
    env: { ...process.env, ...(drizzle && { SLUICE_DRIZZLE: drizzle }) },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  })
  const keep = (chunk: Buffer): void => void (output = (output + String(chunk)).slice(-4_000))
  child.stdout?.on("data", keep)
  child.stderr?.on("data", keep)
  child.on("message", (told: Told) => {
    if ("report" in told) report = told.report
    else if ("broken" in told) broken = told.broken
    else {
      cases.push(told.one)
      onCase(told.one)
    }
  })
  child.send(task)
  const timer = setTimeout(() => child.kill("SIGKILL"), limit)
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve))
  clearTimeout(timer)

  const ms = performance.now() - started
  const after = cases.at(-1) ? `after “${cases.at(-1)?.name}”` : "before the first case"
  const error = broken ?? (report ? undefined : `the process ended with code ${code} ${after}\n${output.trim()}`)
  if (error !== undefined) cases.push({ group: "run", name: "ran to its end", rule: "no-leaks", status: "failed", error, ms: 0, costs: [] })
  const count = (status: CaseReport["status"]): number => cases.filter((one) => one.status === status).length
  report ??= { driver: task.adapter, mode: task.mode, passed: count("passed"), failed: count("failed"), skipped: count("skipped"), ms, cases }
  return { adapter: task.adapter, mode: task.mode, ms, report: { ...report, driver: task.adapter, mode: task.mode } }
}
