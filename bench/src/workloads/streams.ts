import { type Client, createClient, type Queue, type Stream } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { Pool } from "pg"
import { sluicePg } from "../contestants/sluice-pg.ts"
import { formatNumber, formatRange, formatRatio } from "../format-number.ts"
import { interleave } from "../interleave.ts"
import { createOutcome, type Outcome } from "../outcome.ts"
import { payload, thousand, warmUps } from "../payloads.ts"
import { rateOf } from "../rates.ts"
import { allOf, repeat, type Turn } from "../repeat.ts"
import { medianRatio, spread, type Spread } from "../statistics.ts"
import { vacuum, withClient } from "../with-client.ts"
import type { Bench, Place, Workload } from "../workload.ts"

const size = 1000

interface Turned extends Turn {
  /** Bytes of WAL for each event; whoever else writes on the server is in it, too. */
  readonly wal: number
}

interface Opened {
  readonly client: Client
  /** Of the case's own. */
  readonly stream: Stream
  readonly queue: Queue
  readonly bench: Bench
  readonly url: string
}

interface Case {
  readonly name: string
  /** The case that it is measured against. */
  readonly of: string
  readonly subscriptions?: number
  readonly members?: number
  /** Makes what is needed, and answers with what is to be measured. */
  prepare(opened: Opened, one: Case): Promise<() => Promise<Turn>>
}

const batches = ({ sizes }: Bench): number => sizes.streamBatches
const events = thousand.map((data) => ({ type: "n", data }))
const messages = thousand.map((data) => ({ payload: data }))

/** Calls that are counted as events, after some that warm up. */
const calling = (calls: (bench: Bench) => number, step: (opened: Opened) => Promise<number>): Case["prepare"] => async (opened) => {
  const limits = { seconds: opened.bench.sizes.turnSeconds, stop: opened.bench.stop }
  await repeat({ ...limits, calls: warmUps }, () => step(opened))
  return () => repeat({ ...limits, calls: calls(opened.bench) }, () => step(opened))
}

async function fillStream({ stream, bench }: Opened): Promise<void> {
  for (let n = 0; n < batches(bench); n++) await stream.publishBatch(events)
}

/** Every member of every subscription drains at the same time. Counts deliveries. */
const drainStream: Case["prepare"] = async (opened, { subscriptions = 1, members = 1 }) => {
  const { client, stream, bench, url } = opened
  const names = Array.from({ length: subscriptions }, (_, n) => `s${n}`)
  for (const name of names) await client.admin.createSubscription(stream.name, name, { from: "latest" })
  await fillStream(opened)
  await vacuum(url)
  const drain = async (name: string, member: number): Promise<number> => {
    const reader = stream.subscription(name, { owner: `member ${member}`, member: members > 1 })
    for (let count = 0; ; ) {
      bench.stop.throwIfAborted()
      const batch = await reader.nextBatch({ maxEvents: size })
      if (batch === null) return count
      count += (await batch.list()).length
      await batch.finish()
    }
  }
  return async () => {
    const started = performance.now()
    const tasks = names.flatMap((name) => Array.from({ length: members }, (_, member) => drain(name, member)))
    await allOf(tasks)
    const count = (await Promise.all(tasks)).reduce((sum, one) => sum + one, 0)
    if (count !== subscriptions * batches(bench) * size) throw new Error(`${count} events were drained, of ${subscriptions * batches(bench) * size}.`)
    return { count, milliseconds: performance.now() - started }
  }
}

const drainQueue: Case["prepare"] = async ({ queue, bench, url }) => {
  for (let n = 0; n < batches(bench); n++) await queue.sendBatch(messages)
  await vacuum(url)
  const limits = { calls: batches(bench), seconds: bench.sizes.turnSeconds, stop: bench.stop }
  return () => repeat(limits, async () => {
    const found = await queue.readBatch({ limit: size })
    await queue.deleteBatch(found)
    return found.length
  })
}

const sendBatch = async ({ queue }: Opened): Promise<number> => (await queue.sendBatch(messages)).length
const publishBatch = async ({ stream }: Opened): Promise<number> => (await stream.publishBatch(events)).length
const publishOne = async ({ stream }: Opened): Promise<number> => (await stream.publish("n", payload(0)), 1)

const [queueSend, queueDrain, single, alone] = ["queue, sent by 1000", "queue, drained by 1000", "published one by one", "drained by 1000, 1 subscription"] as const

const cases: readonly Case[] = [
  { name: single, of: single, prepare: calling(({ sizes }) => sizes.sendOneByOne, publishOne) },
  { name: "published by 1000", of: single, prepare: calling(batches, publishBatch) },
  { name: queueSend, of: "published by 1000", prepare: calling(batches, sendBatch) },
  { name: queueDrain, of: queueDrain, prepare: drainQueue },
  { name: alone, of: queueDrain, prepare: drainStream },
  { name: "2 subscriptions", of: alone, subscriptions: 2, prepare: drainStream },
  { name: "4 subscriptions", of: alone, subscriptions: 4, prepare: drainStream },
  { name: "1 subscription, 4 members", of: alone, members: 4, prepare: drainStream },
]

interface StreamRow extends Spread {
  readonly case: string
  /** The case that it is measured against, and how it compares. */
  readonly of: string
  readonly ratio: number
  readonly wal: Spread
  readonly rounds: readonly number[]
}

export const streams: Workload = {
  name: "streams",
  about: "events published one by one and by 1000, and drained by 1000 with 1, 2 and 4 subscriptions and 4 members, beside a queue",
  async run(bench) {
    const { url } = await bench.createPlace(sluicePg)
    for (const one of cases) await withOpened(bench, url, one, ({ client, stream, queue }) => Promise.all([client.admin.createStream(stream.name), client.admin.createQueue(queue.name)]))
    // Turns are taken by cases, as elsewhere by contestants.
    const places = cases.map(({ name }): Place => ({ contestant: { ...sluicePg, name }, url }))
    const turn = (place: Place): Promise<Turned> => takeTurn(bench, url, cases[places.indexOf(place)]!)
    const turns = await interleave(bench, "streams", places, turn, (result) => `${formatNumber(rateOf(result))}/s`)
    return outcomeOf(turns)
  },
}

function takeTurn(bench: Bench, url: string, one: Case): Promise<Turned> {
  return withOpened(bench, url, one, async (opened) => {
    const run = await one.prepare(opened, one)
    return withClient(url, async (watcher) => {
      const position = async (): Promise<number> => (await watcher.query<{ bytes: number }>("select (pg_current_wal_insert_lsn() - '0/0')::float8 as bytes")).rows[0]!.bytes
      const before = await position()
      const turn = await run()
      return { ...turn, wal: ((await position()) - before) / turn.count }
    })
  })
}

async function withOpened<T>(bench: Bench, url: string, one: Case, work: (opened: Opened) => Promise<T>): Promise<T> {
  const { subscriptions = 1, members = 1 } = one
  const pool = new Pool({ connectionString: url, max: subscriptions * members })
  pool.on("error", () => {})
  const client = createClient(pgDriver(pool), { listen: false, notify: false })
  const number = cases.indexOf(one)
  try {
    return await work({ client, stream: client.stream(`events.${number}`), queue: client.queue(`queue.${number}`), bench, url })
  } finally {
    await client.close()
    await pool.end()
  }
}

function outcomeOf(turns: readonly (readonly Turned[])[]): Outcome {
  const rates = turns.map((rounds) => rounds.map(rateOf))
  const rows = cases.map(({ name, of }, i): StreamRow => {
    const base = rates[cases.findIndex((one) => one.name === of)]!
    return { case: name, ...spread(rates[i]!), of, ratio: medianRatio(rates[i]!, base), wal: spread(turns[i]!.map(({ wal }) => wal)), rounds: rates[i]! }
  })
  return createOutcome(
    "Streams: events a second, deliveries to all subscriptions counted",
    {
      "": (row) => row.case,
      "events/s": (row) => formatNumber(row.median),
      "min … max": (row) => formatRange(row.min, row.max),
      "ratio": (row) => formatRatio(row.ratio),
      "of": (row) => row.of,
      "WAL bytes each": (row) => formatNumber(row.wal.median),
    },
    rows,
  )
}
