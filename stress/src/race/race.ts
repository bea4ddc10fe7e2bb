import { createClient, type MaintenanceReport, type Queue } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import type { Pool, PoolClient } from "pg"
import { openPool } from "../open-pool.ts"
import { pause } from "../pause.ts"
import { type Child, type Job, startChild } from "../start-child.ts"
import { type Outcome, storageOptions, type StressOptions } from "../stress.ts"
import { consume } from "./consumer.ts"
import { dumpNowAndThen, killChildren, pinHorizon, terminateMaintainers } from "./disturb.ts"
import { makeLedger, type Payload } from "./ledger.ts"
import { maintain } from "./maintain.ts"
import { produce } from "./producer.ts"
import { QUEUE, type Told } from "./settings.ts"
import { outstanding, verify } from "./verify.ts"

const PRODUCERS = 6
const CONSUMERS = 4
/** Longer than the 10 s after which readers look for themselves where nobody maintains. */
const QUIET_MS = 15_000

interface Totals {
  readonly reports: Record<string, number>
  readonly errors: string[]
}

/**
 * Producers that commit late and roll back, a pinned horizon, flips as often as they will come, consumers that crash,
 * dawdle and are killed, maintenance that is killed too. What must be zero: see verify.ts.
 */
export async function race(options: StressOptions): Promise<Outcome> {
  const pool = openPool(options.url, 24)
  const client = createClient(pgDriver(pool), { listen: false, notify: false })
  try {
    await client.admin.install()
    await client.admin.createQueue(QUEUE, { maxAttempts: null, ...storageOptions(options.storage) })
    const { rows } = await pool.query<{ storage: number; table: string }>("select storage, sluice.message_table(storage) as table from sluice.queue where name = $1", [QUEUE])
    const { storage, table } = rows[0]!
    await makeLedger(pool, storage)
    await options.sabotage?.(pool)
    const totals: Totals = { reports: {}, errors: [] }
    await load({ ...options, pool, table, queue: client.queue<Payload>(QUEUE), totals })
    const { counts, violations } = await verify(pool, table)
    return { counts: { ...counts, ...pickReports(totals.reports) }, violations, errors: totals.errors }
  } finally {
    await pool.end()
  }
}

interface Load extends StressOptions {
  readonly pool: Pool
  readonly table: string
  readonly queue: Queue<Payload, Payload, PoolClient>
  readonly totals: Totals
}

async function load(options: Load): Promise<void> {
  const { pool, queue, random, totals } = options
  const producing = new AbortController()
  const working = new AbortController()
  const orFail = (work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => {
      totals.errors.push(error instanceof Error ? (error.stack ?? String(error)) : String(error))
      producing.abort()
      working.abort()
    })
  const unpin = await pinHorizon(pool)
  const producers = Array.from({ length: PRODUCERS }, (_, i) =>
    orFail(produce({ name: `p${i}`, pool, queue, random: random.fork(), slow: i % 2 === 0 }, producing.signal)))
  const consumers = Array.from({ length: CONSUMERS }, () => orFail(consume({ pool, queue, random: random.fork(), mortal: false }, working.signal)))
  const helpers = startHelpers(options)
  const disturbances = disturb(options, helpers.children, producing.signal).map(orFail)

  await orFail(countDown(options, AbortSignal.any([producing.signal, options.signal])))
  producing.abort()
  await Promise.all([...producers, ...disturbances])
  await orFail(workOff(pool, working.signal))
  working.abort()
  await Promise.all([...consumers, orFail(helpers.stop())])
  await unpin()
}

async function countDown({ pool, seconds, log }: Load, signal: AbortSignal): Promise<void> {
  for (let left = seconds; left > 0 && !signal.aborted; left -= 5) {
    await pause(Math.min(left, 5) * 1000, signal)
    log(`${Math.max(0, Math.ceil(left - 5))} s to go, ${await outstanding(pool)} messages to settle`)
  }
}

/** Maintenance here and in a process of its own, and two processes more that consume. */
function startHelpers({ url, random, totals }: Load): { readonly children: readonly Child[]; stop(): Promise<void> } {
  const add = (report: MaintenanceReport): void => {
    for (const [name, count] of Object.entries(report)) totals.reports[name] = (totals.reports[name] ?? 0) + Number(count)
  }
  const listen = (message: unknown): void => {
    const told = message as Told
    if ("report" in told) add(told.report)
    else totals.errors.push(told.error)
  }
  const seeds = random.fork()
  const nextJob = (): Job => ({ url, seed: seeds.integer(0, 2 ** 31) })
  const maintenance = maintain(url, add, (error) => totals.errors.push(String(error)))
  const children = ["race/consumer-child.ts", "race/consumer-child.ts", "race/maintainer-child.ts"].map((script) => startChild(script, nextJob, listen))
  return { children, stop: async () => void (await Promise.all([maintenance.stop(), ...children.map((child) => child.stop())])) }
}

function disturb({ pool, random, table }: Load, children: readonly Child[], signal: AbortSignal): Promise<void>[] {
  return [
    dumpNowAndThen(pool, random.fork(), table, signal),
    terminateMaintainers(pool, random.fork(), signal),
    killChildren(pool, random.fork(), children, signal),
  ]
}

/** Until everything that was committed is settled, or for so long nothing more is that the rest must be lost. */
async function workOff(pool: Pool, signal: AbortSignal): Promise<void> {
  let least = Infinity
  for (let since = performance.now(); !signal.aborted && performance.now() - since < QUIET_MS; await pause(200, signal)) {
    const left = await outstanding(pool)
    if (left === 0) return
    if (left < least) since = performance.now()
    least = Math.min(least, left)
  }
}

/** A round that is killed does not report: these are what the others told. */
function pickReports(reports: Readonly<Record<string, number>>): Record<string, number> {
  const told = { moved: "moved", truncated: "truncated", "refused locks": "refused", "found below the floor": "found", "partitions made": "partitionsMade", "partitions dropped": "partitionsDropped" }
  return Object.fromEntries(Object.entries(told).map(([name, field]) => [name, reports[field] ?? 0]))
}
