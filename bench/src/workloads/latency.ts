import { setTimeout as sleep } from "node:timers/promises"
import { baseline } from "../contestants.ts"
import type { Session } from "../contestant.ts"
import { createPlaces } from "../create-places.ts"
import { formatNumber, formatRange, formatRatio } from "../format-number.ts"
import { interleave } from "../interleave.ts"
import { createOutcome, type Outcome } from "../outcome.ts"
import { payload } from "../payloads.ts"
import { allOf } from "../repeat.ts"
import { median, medianRatio, quantile, spread, type Spread } from "../statistics.ts"
import { withSessions } from "../with-sessions.ts"
import type { Bench, Place, Workload } from "../workload.ts"

/** The first messages find the reader still opening its connection. */
const warmUps = 5

export const latency: Workload = {
  name: "latency",
  about: "from the call of send to a reader that waits, with nothing else to do",
  async run(bench) {
    const places = await createPlaces(bench, { wake: true })
    const turn = (place: Place): Promise<number[]> => takeTurn(bench, place)
    const turns = await interleave(bench, "latency", places, turn, (result) => `${formatNumber(median(result))} ms`)
    return summarise(places, turns)
  },
}

function takeTurn(bench: Bench, place: Place): Promise<number[]> {
  const options = { connections: 1, wake: true }
  return withSessions(place, [options, options], (reader, sender) => measure(bench, reader!, sender!))
}

async function measure(bench: Bench, reader: Session, sender: Session): Promise<number[]> {
  const count = warmUps + bench.sizes.latency
  const over = new AbortController()
  const stop = AbortSignal.any([bench.stop, over.signal, AbortSignal.timeout(bench.sizes.turnSeconds * 1000)])
  const sentAt: number[] = []
  const latencies: number[] = []

  const receiving = async (): Promise<void> => {
    for (let received = 0; received < count && !stop.aborted; ) {
      const messages = await reader.receive()
      const now = performance.now()
      for (const { payload: { n } } of messages) latencies[n] = now - sentAt[n]!
      received += messages.length
      if (messages.length > 0) await reader.deleteBatch(messages)
    }
  }
  const sending = async (): Promise<void> => {
    await sleep(100)
    for (let n = 0; n < count && !stop.aborted; n++) {
      sentAt[n] = performance.now()
      await sender.send(payload(n))
      await sleep(20 + Math.random() * 20)
    }
  }
  const end = (): void => over.abort()
  await allOf([receiving().finally(end), sending().catch((error: unknown) => (end(), Promise.reject(error)))])
  bench.stop.throwIfAborted()
  return latencies.slice(warmUps).filter((value) => value !== undefined)
}

interface LatencyRow {
  readonly contestant: string
  /** Milliseconds, over all rounds. */
  readonly p50: number
  readonly p95: number
  readonly p99: number
  /** Of the rounds' own medians. */
  readonly medians: Spread
  readonly ratio: number | undefined
}

function summarise(places: readonly Place[], turns: readonly (readonly number[][])[]): Outcome {
  const medians = turns.map((rounds) => rounds.map(median))
  const base = medians[places.findIndex(({ contestant }) => contestant.name === baseline)]
  const rows = places.map(({ contestant }, i): LatencyRow => {
    const all = turns[i]!.flat()
    const [p50, p95, p99] = [quantile(all, 0.5), quantile(all, 0.95), quantile(all, 0.99)]
    return { contestant: contestant.name, p50, p95, p99, medians: spread(medians[i]!), ratio: base && medianRatio(medians[i]!, base) }
  })
  return createOutcome(
    "Latency: milliseconds from the call of send to the reader, idle",
    {
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
