import { openWireTap } from "@sluice/conformance"
import { baseline } from "../contestants.ts"
import type { WorkOptions } from "../contestant.ts"
import { createPlaces } from "../create-places.ts"
import { formatNumber, formatRange, formatRatio } from "../format-number.ts"
import { interleave } from "../interleave.ts"
import { createOutcome } from "../outcome.ts"
import { fill } from "../payloads.ts"
import { rateOf, type RateRow, rateRows } from "../rates.ts"
import type { Turn } from "../repeat.ts"
import { vacuum } from "../with-client.ts"
import { withSessions } from "../with-sessions.ts"
import type { Bench, Place, Workload } from "../workload.ts"

interface WorkerRow extends RateRow {
  /** Answers of the server that had to be waited for, for each message. */
  readonly roundTrips: number
}

export const worker: Workload = {
  name: "worker",
  about: "messages worked off by handlers that do nothing, 1, 10 and 100 at once, and in transactions",
  async run(bench) {
    const places = await createPlaces(bench)
    const rows: WorkerRow[] = []
    for (const transactional of [false, true]) {
      const sizes = transactional ? bench.sizes.workerInTransactions : bench.sizes.worker
      for (const [concurrency, count] of Object.entries(sizes)) {
        rows.push(...(await runCase(bench, places, count, { concurrency: Number(concurrency), transactional })))
      }
    }
    return createOutcome(
      "Worker: messages a second, and round trips for each",
      {
        "": (row) => row.case,
        "contestant": (row) => row.contestant,
        "msg/s": (row) => formatNumber(row.median),
        "min … max": (row) => formatRange(row.min, row.max),
        [`of ${baseline}`]: (row) => formatRatio(row.ratio),
        "round trips": (row) => formatNumber(row.roundTrips),
      },
      rows,
    )
  },
}

async function runCase(bench: Bench, places: readonly Place[], count: number, options: WorkOptions): Promise<WorkerRow[]> {
  const name = `${options.concurrency} at once${options.transactional ? ", in transactions" : ""}`
  const turns = await interleave(bench, `worker ${name}`, places, (place) => takeTurn(bench, place, count, options), (turn) => `${formatNumber(rateOf(turn))}/s`)
  const rows: WorkerRow[] = []
  for (const [i, row] of rateRows(name, places, turns).entries()) rows.push({ ...row, roundTrips: (await countRoundTrips(bench, places[i]!, count, options)) / count })
  return rows
}

async function takeTurn(bench: Bench, place: Place, count: number, options: WorkOptions): Promise<Turn> {
  return withSessions(place, [{ connections: connectionsOf(options) }], async (session) => {
    // Every connection is open, and has settled for its plans.
    await fill(session!, 6 * options.concurrency, bench.stop)
    await session!.workOff(options)
    await fill(session!, count, bench.stop)
    await vacuum(place.url)
    const started = performance.now()
    const handled = await session!.workOff(options)
    if (handled !== count) throw new Error(`${handled} of ${count} messages were handled.`)
    return { count, milliseconds: performance.now() - started }
  })
}

/** Counted on the wire, which no other load of the machine can change. */
async function countRoundTrips(bench: Bench, place: Place, count: number, options: WorkOptions): Promise<number> {
  const tap = await openWireTap(place.url)
  try {
    return await withSessions({ ...place, url: tap.url }, [{ connections: connectionsOf(options) }], async (session) => {
      await fill(session!, 6 * options.concurrency, bench.stop)
      await session!.workOff(options)
      await fill(session!, count, bench.stop)
      return (await tap.measure(() => session!.workOff(options))).roundTrips
    })
  } finally {
    await tap.close()
  }
}

/** One for each transaction, and one for the worker's own statements. */
const connectionsOf = ({ concurrency, transactional }: WorkOptions): number => (transactional ? concurrency + 1 : 4)
