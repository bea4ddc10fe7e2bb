import { type Client, createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import type { Pool, PoolClient } from "pg"
import { onConnection } from "../on-connection.ts"
import { openPool } from "../open-pool.ts"
import { pause } from "../pause.ts"
import { type Child, startChild } from "../start-child.ts"
import type { Outcome, StressOptions } from "../stress.ts"
import { killChildren, stayIdle, terminateReaders, turn } from "./disturb.ts"
import { ledger } from "./ledger.ts"
import { produce } from "./producer.ts"
import { read } from "./reader.ts"
import { early, late, READER, type Reading, STREAM, streamOptions } from "./settings.ts"
import { outstanding, verify } from "./verify.ts"

const PRODUCERS = 6
/** Longer than the longest lease and delay. */
const QUIET_MS = 4000

interface Load extends StressOptions {
  readonly pool: Pool
  readonly readers: Pool
  readonly client: Client<PoolClient>
  readonly errors: string[]
}

/**
 * Producers of every isolation level that commit late and roll back, an idle writer in every snapshot, rotations many times a second, readers that
 * crash, dawdle, give back, put off and are killed, subscriptions that join late. What must be zero: see verify.ts.
 */
export async function streams(options: StressOptions): Promise<Outcome> {
  const pool = openPool(options.url, 24)
  const readers = openPool(options.url, 16, READER)
  const client = createClient(pgDriver(pool), { listen: false, notify: false })
  const errors: string[] = []
  try {
    await client.admin.install()
    await client.admin.createStream(STREAM, streamOptions)
    await ledger.make(pool)
    for (const { name } of early) await client.admin.createSubscription(STREAM, name, { maxAttempts: null })
    await options.sabotage?.(pool)
    const left = await load({ ...options, pool, readers, client, errors })
    return { ...(await verify(pool, left)), errors }
  } finally {
    await Promise.all([pool.end(), readers.end()])
  }
}

/** Returns how many events are still stored when everything is done. */
async function load(options: Load): Promise<number> {
  const { pool, readers, client, random, seconds, errors } = options
  const producing = new AbortController()
  const working = new AbortController()
  const orFail = (work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => {
      errors.push(error instanceof Error ? (error.stack ?? String(error)) : String(error))
      producing.abort()
      working.abort()
    })
  const stream = createClient(pgDriver(readers), { listen: false, notify: false }).stream(STREAM)
  const readAll = (readings: readonly Reading[]): Promise<void>[] =>
    readings.flatMap((reading) => Array.from({ length: reading.readers }, () => orFail(read({ pool: readers, stream, reading, random: random.fork() }, working.signal))))
  const producers = Array.from({ length: PRODUCERS }, (_, i) =>
    orFail(produce({ name: `p${i}`, pool, stream: client.stream(STREAM), random: random.fork(), slow: i % 2 === 0 }, producing.signal)))
  const children = startChildren(options)
  const disturbances = disturb(options, children, producing.signal).map(orFail)
  const lasting = [...readAll(early), ...Array.from({ length: 2 }, () => orFail(turn(pool, random.fork(), working.signal)))]

  const signal = AbortSignal.any([producing.signal, options.signal])
  await pause(seconds * 400, signal)
  await orFail(joinLate(options))
  lasting.push(...readAll(late))
  await orFail(countDown(options, signal))
  producing.abort()
  await Promise.all([...producers, ...disturbances])
  await orFail(workOff(pool, working.signal))
  const left = await emptied(pool, working.signal)
  working.abort()
  await Promise.all([...lasting, ...children.map((child) => orFail(child.stop()))])
  return left
}

function startChildren({ url, random }: Load): readonly Child[] {
  const seeds = random.fork()
  return Array.from({ length: 2 }, () => startChild("streams/reader-child.ts", () => ({ url, seed: seeds.integer(0, 2 ** 31) }), () => {}))
}

function disturb({ pool, random }: Load, children: readonly Child[], signal: AbortSignal): Promise<void>[] {
  return [stayIdle(pool, signal), terminateReaders(pool, random.fork(), signal), killChildren(pool, random.fork(), children, signal)]
}

/** What was committed before, what is after, and what is stored in between: from that follows what they have to get. */
async function joinLate({ pool, client }: Load): Promise<void> {
  for (const { name, from } of late) {
    await onConnection(pool, async (tx) => {
      const { rows } = await pool.query<{ before: string }>("select pg_current_snapshot()::text as before")
      await tx.query("begin")
      await client.admin.createSubscription(STREAM, name, { from, maxAttempts: null, tx })
      await tx.query(`insert into ledger.begun select $1, $2, pg_current_snapshot(), case when $3 then array(select id from sluice.event_s${(await client.admin.getStream(STREAM)).id}) end`, [name, rows[0]!.before, from === "earliest"])
      await tx.query("commit")
    })
  }
}

async function countDown({ pool, seconds, log }: Load, signal: AbortSignal): Promise<void> {
  for (let left = seconds * 0.6; left > 0 && !signal.aborted; left -= 5) {
    await pause(Math.min(left, 5) * 1000, signal)
    log(`${Math.max(0, Math.ceil(left - 5))} s to go, ${await outstanding(pool)} events to handle`)
  }
}

/** Until every subscription has everything, or for so long nothing more that the rest must be lost. */
async function workOff(pool: Pool, signal: AbortSignal): Promise<void> {
  let least = Infinity
  for (let since = performance.now(); !signal.aborted && performance.now() - since < QUIET_MS; await pause(200, signal)) {
    const left = await outstanding(pool)
    if (left === 0) return
    if (left < least) since = performance.now()
    least = Math.min(least, left)
  }
}

/** When everything is handled, rotations empty the stream. */
async function emptied(pool: Pool, signal: AbortSignal): Promise<number> {
  const { rows: [stream] } = await pool.query<{ id: number }>("select id from sluice.stream")
  for (const since = performance.now(); ; await pause(100, signal)) {
    const { rows } = await pool.query<{ left: string }>(`select count(*) as left from sluice.event_s${stream!.id}`)
    if (rows[0]!.left === "0" || signal.aborted || performance.now() - since > QUIET_MS) return Number(rows[0]!.left)
  }
}
