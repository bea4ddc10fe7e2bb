import { setTimeout as sleep } from "node:timers/promises"
import { baseline } from "../contestants.ts"
import type { Payload, Session } from "../contestant.ts"
import { createPlaces } from "../create-places.ts"
import { formatNumber, formatRange, formatRatio } from "../format-number.ts"
import { interleave } from "../interleave.ts"
import { createOutcome, type Outcome } from "../outcome.ts"
import { payload } from "../payloads.ts"
import { median, medianRatio, quantile, spread, type Spread } from "../statistics.ts"
import { withSessions } from "../with-sessions.ts"
import type { Bench, Place, Workload } from "../workload.ts"

/** The first messages find the reader still opening its connection. */
const warmUps = 5

/** Has each payload that comes told as soon as it is there. Returns how to end it. */
type Receive = (reader: Session, tell: (payload: Payload) => void) => Promise<() => Promise<void>>

interface Way {
  readonly name: string
  readonly receive: Receive
  readonly listen?: boolean
}

const ways: readonly Way[] = [
  { name: "to a reader that waits", receive: readAndTell },
  { name: "to a worker's handler", receive: (reader, tell) => reader.work(tell) },
  { name: "to a worker's handler, without LISTEN", receive: (reader, tell) => reader.work(tell), listen: false },
]

export const latency: Workload = {
  name: "latency",
  about: "from the call of send to a reader that waits, and to the handler of a worker, with nothing else to do",
  async run(bench) {
    const places = await createPlaces(bench, { wake: true })
    const rows: LatencyRow[] = []
    for (const way of ways) {
      const turn = (place: Place): Promise<number[]> => takeTurn(bench, place, way)
      const turns = await interleave(bench, `latency ${way.name}`, places, turn, (result) => `${formatNumber(median(result))} ms`)
      rows.push(...summarise(way.name, places, turns))
    }
    return outcomeOf(rows)
  },
}

function takeTurn(bench: Bench, place: Place, { receive, listen }: Way): Promise<number[]> {
  const options = { connections: 1, wake: true }
  return withSessions(place, [{ ...options, listen }, options], (reader, sender) => measure(bench, reader!, sender!, receive))
}

async function measure(bench: Bench, reader: Session, sender: Session, receive: Receive): Promise<number[]> {
  const count = warmUps + bench.sizes.latency
  const stop = AbortSignal.any([bench.stop, AbortSignal.timeout(bench.sizes.turnSeconds * 1000)])
  const sentAt: number[] = []
  const latencies: number[] = []
  const end = await receive(reader, ({ n }) => (latencies[n] = performance.now() - sentAt[n]!))
  try {
    await sleep(100)
    for (let n = 0; n < count && !stop.aborted; n++) {
      sentAt[n] = performance.now()
      await sender.send(payload(n))
      await sleep(20 + Math.random() * 20)
    }
    while (latencies[sentAt.length - 1] === undefined && !stop.aborted) await sleep(5)
  } finally {
    await end()
  }
  bench.stop.throwIfAborted()
  return latencies.slice(warmUps).filter((value) => value !== undefined)
}

async function readAndTell(reader: Session, tell: (payload: Payload) => void): Promise<() => Promise<void>> {
  const over = new AbortController()
  const reading = (async () => {
    while (!over.signal.aborted) {
      const messages = await reader.receive()
      messages.forEach((message) => tell(message.payload))
      if (messages.length > 0) await reader.deleteBatch(messages)
    }
  })()
  reading.catch(() => undefined) // told at the end
  return () => {
    over.abort()
    return reading
  }
}

interface LatencyRow {
  readonly case: string
  readonly contestant: string
  /** Milliseconds, over all rounds. */
  readonly p50: number
  readonly p95: number
  readonly p99: number
  /** Of the rounds' own medians. */
  readonly medians: Spread
  readonly ratio: number | undefined
}

function summarise(name: string, places: readonly Place[], turns: readonly (readonly number[][])[]): LatencyRow[] {
  const medians = turns.map((rounds) => rounds.map(median))
  const base = medians[places.findIndex(({ contestant }) => contestant.name === baseline)]
  return places.map(({ contestant }, i) => {
    const all = turns[i]!.flat()
    const [p50, p95, p99] = [quantile(all, 0.5), quantile(all, 0.95), quantile(all, 0.99)]
    return { case: name, contestant: contestant.name, p50, p95, p99, medians: spread(medians[i]!), ratio: base && medianRatio(medians[i]!, base) }
  })
}

function outcomeOf(rows: readonly LatencyRow[]): Outcome {
  return createOutcome(
    "Latency: milliseconds from the call of send, idle",
    {
      "": (row) => row.case,
      "contestant": (row) => row.contestant,
      "p50": (row) => formatNumber(row.p50),
      "min … max": (row) => formatRange(row.medians.min, row.medians.max),
      "p95": (row) => formatNumber(row.p95),
      "p99": (row) => formatNumber(row.p99),
      [`of ${baseline}`]: (row) => formatRatio(row.ratio),
    },
    rows,
  )
}
