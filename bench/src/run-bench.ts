import { describeServer, formatServer, type ServerFacts } from "./describe-server.ts"
import { formatOutcome } from "./format-outcome.ts"
import { type RunOptions, runWorkload } from "./run-workload.ts"
import type { Plan } from "./workload.ts"

export interface BenchResult {
  readonly at: string
  readonly server: ServerFacts
  readonly rounds: number
  readonly workloads: Readonly<Record<string, readonly object[]>>
}

export interface BenchOptions extends RunOptions {
  /** Takes the tables, each as soon as it is known. */
  print(text: string): void
}

export async function runBench(plan: Plan, options: BenchOptions): Promise<BenchResult> {
  const at = new Date().toISOString()
  const server = await describeServer(options.serverUrl)
  options.print(formatServer(server))
  const workloads: Record<string, readonly object[]> = {}
  for (const workload of plan.workloads) {
    const outcome = await runWorkload(workload, plan, options)
    workloads[workload.name] = outcome.rows
    options.print(`\n${formatOutcome(outcome)}`)
  }
  return { at, server, rounds: plan.rounds, workloads }
}
