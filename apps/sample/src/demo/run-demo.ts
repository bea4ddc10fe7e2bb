import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import type { DeadMessage } from "@sluice/core"
import { resolveServer } from "@sluice/testkit"
import { audit } from "./audit.ts"
import { auditStreams } from "./audit-streams.ts"
import { createProgress, type Progress } from "./create-progress.ts"
import { explainError } from "./explain-error.ts"
import type { Flow } from "./flows.ts"
import { formatDeadLetter } from "./format-dead-letter.ts"
import { formatLog, formatStreams, formatSummary, type SummaryRow } from "./format-summary.ts"
import { install, openDatabase } from "./open-database.ts"
import { planOrders } from "./plan-orders.ts"
import { runFlow } from "./run-flow.ts"

interface FlowRow extends SummaryRow {
  readonly dead: DeadMessage | undefined
}

/** Runs the chosen flows and returns whether no order was lost or handled twice. */
export async function runDemo(chosen: readonly Flow[], stop: AbortSignal): Promise<boolean> {
  const progress = createProgress(chosen.map(({ name }) => name))
  const server = await resolveServer({ log: progress.log })
  try {
    stop.throwIfAborted()
    const database = await openDatabase(server.url, progress.log)
    try {
      await install(database.url, chosen.map(({ key }) => key))
      await runHook(database.url)
      const rows = await runAll(chosen, database.url, progress, stop)
      progress.close()
      return report(rows)
    } finally {
      progress.close()
      await database.close()
    }
  } finally {
    await server.stop()
  }
}

/** A module that gets the database after the install: how a test breaks something and sees the demo notice. */
async function runHook(url: string): Promise<void> {
  const file = process.env.SLUICE_DEMO_AFTER_INSTALL
  if (!file) return
  const { afterInstall } = (await import(pathToFileURL(resolve(file)).href)) as { afterInstall(url: string): Promise<void> }
  await afterInstall(url)
}

/** Two at a time: most of a flow is waiting for leases to expire. */
async function runAll(chosen: readonly Flow[], url: string, progress: Progress, stop: AbortSignal): Promise<FlowRow[]> {
  const rows: FlowRow[] = []
  const waiting = chosen.entries()
  const lane = async (): Promise<void> => {
    for (const [i, flow] of waiting) rows[i] = await runAudited(flow, url, progress, stop)
  }
  const lanes = await Promise.allSettled([lane(), lane()])
  for (const ended of lanes) if (ended.status === "rejected") throw ended.reason
  return rows
}

async function runAudited(flow: Flow, url: string, progress: Progress, stop: AbortSignal): Promise<FlowRow> {
  const started = performance.now()
  const planned = planOrders(flow.key)
  let failure: unknown
  const dead = await runFlow(flow, planned, url, (stage) => progress.stage(flow.name, stage), stop).catch((error: unknown) => void (failure = error))
  stop.throwIfAborted()
  const [result, streams] = await Promise.all([audit(planned, flow.key, url), auditStreams(planned, url)])
  const found = [...result.problems, ...streams.problems]
  const problems = failure === undefined ? found : [...found, `${flow.name} did not finish: ${explainError(failure)}`]
  const seconds = (performance.now() - started) / 1000
  const ok = problems.length === 0
  const [lost, twice] = [result.lost + streams.bookLost + streams.logLost, result.duplicates + streams.bookTwice + streams.logTwice]
  const outcome = ok ? `${result.orders - result.cancelled} orders shipped, ${streams.published + streams.captured} events read by both` : `${lost} lost, ${twice} handled twice`
  progress.done(flow.name, `${outcome}, ${seconds.toFixed(1)} s`, ok)
  return { ...result, streams, problems, name: flow.name, dead: dead ?? undefined }
}

function report(rows: readonly FlowRow[]): boolean {
  const problems = rows.flatMap((row) => row.problems)
  console.log(`\n${formatSummary(rows)}\n\n${formatStreams(rows)}\n`)
  if (problems.length > 0) {
    console.log(`This should not be:\n${problems.map((problem) => `  ${problem}`).join("\n")}`)
    return false
  }
  const { name, dead, streams } = rows[0]!
  console.log(`A payment that died, as it lay in the dead-letter queue before the provider was repaired and it was redriven (${name}):\n`)
  console.log(`${formatDeadLetter(dead!)}\n`)
  console.log("What the audit log has of its first order, half of it published by the shop, half captured by a trigger on a table:\n")
  console.log(`${formatLog(streams.log)}\n`)
  console.log(proved)
  return true
}

const proved = `Every order that was placed was paid and shipped once, and every order that was rolled back or cancelled was not, though in
each flow a worker was killed with SIGKILL between its effects and their settles, a reader outlived its lease and was refused,
and the payment provider failed. The nightly report says so too. Every event came to both subscriptions once, though with that worker
died a reader of each, in the middle of its batch. Lost and duplicates are counted in the tables, not by the workers.

Read on: apps/sample/src/orders.ts, payments.ts, shipping.ts, events.ts and order-book.ts (no driver in sight), apps/sample/src/adapters, README.md.`
