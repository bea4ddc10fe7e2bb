import { setTimeout as sleep } from "node:timers/promises"
import type { Client } from "pg"
import { quantile } from "../statistics.ts"
import { createCpuMeter } from "./backend-cpu.ts"
import type { Counters } from "./load.ts"

/** A part of the run. */
export interface Window {
  /** Seconds since the load began. */
  readonly from: number
  readonly to: number
  readonly consumedPerSecond: number
  /** Microseconds of the readers' backends for each message consumed, and of all backends; undefined where unknown. */
  readonly readerCpu: number | undefined
  readonly allCpu: number | undefined
  /** At its end: how many wait, and bytes of all tables and indexes. */
  readonly backlog: number
  readonly size: number
  /** Dead rows of all tables, as the statistics have it: a second late. */
  readonly deadRows: number
  /** Milliseconds of the reads that found something. */
  readonly readP50: number
  readonly readP99: number
}

export interface WatchOptions {
  readonly seconds: number
  readonly windows: number
  /** The `application_name` of the readers. */
  readonly readers: string
  readonly stop: AbortSignal
}

/** Cuts the time into windows and says of each what was done in it. */
export async function watch(client: Client, counters: Counters, options: WatchOptions): Promise<Window[]> {
  const meter = createCpuMeter(client, options.readers)
  const started = performance.now()
  const elapsed = (): number => (performance.now() - started) / 1000
  const windows: Window[] = []
  let before = { at: 0, consumed: 0, cpu: await meter() }
  for (let n = 1; n <= options.windows; n++) {
    await pause((options.seconds / options.windows) * n, elapsed, meter, options.stop)
    const now = { at: elapsed(), consumed: counters.consumed, cpu: await meter() }
    const readTimes = counters.readTimes.splice(0)
    const consumed = now.consumed - before.consumed
    windows.push({
      from: before.at,
      to: now.at,
      consumedPerSecond: consumed / (now.at - before.at),
      readerCpu: now.cpu && before.cpu && (now.cpu.readers - before.cpu.readers) / consumed,
      allCpu: now.cpu && before.cpu && (now.cpu.all - before.cpu.all) / consumed,
      backlog: counters.sent - counters.consumed,
      size: await sizeOfTables(client),
      deadRows: await deadRowsOfTables(client),
      readP50: quantile(readTimes, 0.5),
      readP99: quantile(readTimes, 0.99),
    })
    before = now
  }
  return windows
}

/** Sleeps until then, with a look at the backends once a second. */
async function pause(until: number, elapsed: () => number, meter: () => Promise<unknown>, stop: AbortSignal): Promise<void> {
  for (let left = until - elapsed(); left > 0; left = until - elapsed()) {
    await sleep(Math.min(left, 1) * 1000, undefined, { signal: stop })
    await meter()
  }
}

/** Bytes of all that is not the server's own, indexes and TOAST included. */
export async function sizeOfTables(client: Client): Promise<number> {
  const { rows } = await client.query<{ size: number }>(
    `select coalesce(sum(pg_total_relation_size(c.oid)), 0)::float8 as size from pg_class c
      where c.relkind in ('r', 'm') and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)`,
  )
  return rows[0]!.size
}

async function deadRowsOfTables(client: Client): Promise<number> {
  const { rows } = await client.query<{ dead: number }>("select coalesce(sum(n_dead_tup), 0)::float8 as dead from pg_stat_user_tables")
  return rows[0]!.dead
}
