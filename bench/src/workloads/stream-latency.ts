import { setTimeout as sleep } from "node:timers/promises"
import { type Client, createClient, type EventTypes, type Stream } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { Pool, type PoolClient } from "pg"
import type { Payload } from "../contestant.ts"
import { sluiceStream } from "../contestants/sluice-stream.ts"
import { formatNumber, formatRange } from "../format-number.ts"
import { interleave } from "../interleave.ts"
import { createOutcome, type Outcome } from "../outcome.ts"
import { payload } from "../payloads.ts"
import { median, quantile, spread, type Spread } from "../statistics.ts"
import { withSessions } from "../with-sessions.ts"
import type { Bench, Place, Workload } from "../workload.ts"

interface Publisher {
  readonly pool: Pool
  readonly client: Client<PoolClient>
  readonly stream: Stream<EventTypes, PoolClient>
}

interface Way {
  readonly name: string
  publish(publisher: Publisher, data: Payload): Promise<unknown>
  /** Nobody tells the readers. */
  readonly unseen?: true
}

const ways: readonly Way[] = [
  { name: "publish", publish: ({ stream }, data) => stream.publish("n", data) },
  { name: "publish in client.transaction", publish: ({ client, stream }, data) => client.transaction((tx) => stream.publish("n", data, { tx })) },
  { name: "publish in a transaction of the user's own, no wake", unseen: true, publish: publishUnseen },
]

/** Sluice does not see the commit, and nobody wakes the readers: they look by themselves. */
async function publishUnseen({ pool, stream }: Publisher, data: Payload): Promise<void> {
  const tx = await pool.connect()
  try {
    await tx.query("begin")
    await stream.publish("n", data, { tx })
    await tx.query("commit")
  } finally {
    tx.release()
  }
}

export const streamLatency: Workload = {
  name: "stream-latency",
  about: "from the call of publish to the handler of another client's subscriber, with nothing else to do",
  async run(bench) {
    const { url } = await bench.createPlace(sluiceStream)
    // Turns are taken by ways, as elsewhere by contestants.
    const places = ways.map(({ name }): Place => ({ contestant: { ...sluiceStream, name }, url }))
    const turn = (place: Place): Promise<number[]> => takeTurn(bench, place, ways[places.indexOf(place)]!)
    const turns = await interleave(bench, "stream-latency", places, turn, (result) => `${formatNumber(median(result))} ms`)
    return outcomeOf(turns)
  },
}

function takeTurn(bench: Bench, place: Place, way: Way): Promise<number[]> {
  return withSessions(place, [{ connections: 2 }], async (reader) => {
    const pool = new Pool({ connectionString: place.url, max: 1, idleTimeoutMillis: 0 })
    pool.on("error", () => {})
    const client = createClient(pgDriver(pool), { listen: false })
    try {
      return await measure(bench, way, { pool, client, stream: client.stream("bench") }, reader!.work)
    } finally {
      await client.close()
      await pool.end()
    }
  })
}

async function measure(bench: Bench, { publish, unseen }: Way, publisher: Publisher, work: (handle: (data: Payload) => void) => Promise<() => Promise<void>>): Promise<number[]> {
  const publishedAt: number[] = []
  const latencies: number[] = []
  const [told, untold] = bench.sizes.streamSilence
  const silence = unseen ? untold : told
  let arrived: () => void = () => {}
  const end = await work(({ n }) => {
    latencies[n] = performance.now() - publishedAt[n]!
    arrived()
  })
  try {
    // The first event finds connections still opening.
    for (let n = 0; n <= bench.sizes.streamLatency; n++) {
      await sleep(silence * (0.8 + 0.4 * Math.random()), undefined, { signal: bench.stop })
      const arrival = new Promise<void>((resolve) => (arrived = resolve))
      publishedAt[n] = performance.now()
      await publish(publisher, payload(n))
      await Promise.race([arrival, sleep(bench.sizes.turnSeconds * 1000, undefined, { ref: false })])
    }
  } finally {
    await end()
  }
  bench.stop.throwIfAborted()
  return latencies.slice(1).filter((value) => value !== undefined)
}

interface LatencyRow {
  readonly case: string
  /** Milliseconds, over all rounds. */
  readonly p50: number
  readonly p95: number
  readonly max: number
  /** Of the rounds' own medians. */
  readonly medians: Spread
}

function outcomeOf(turns: readonly (readonly number[][])[]): Outcome {
  const rows = ways.map(({ name }, i): LatencyRow => {
    const all = turns[i]!.flat()
    return { case: name, p50: quantile(all, 0.5), p95: quantile(all, 0.95), max: Math.max(...all), medians: spread(turns[i]!.map(median)) }
  })
  return createOutcome(
    "Streams: milliseconds from the call of publish to a subscriber's handler, idle",
    {
      "": (row) => row.case,
      "p50": (row) => formatNumber(row.p50),
      "min … max": (row) => formatRange(row.medians.min, row.medians.max),
      "p95": (row) => formatNumber(row.p95),
      "longest": (row) => formatNumber(row.max),
    },
    rows,
  )
}
