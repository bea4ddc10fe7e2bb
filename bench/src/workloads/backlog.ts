import { createPlaces } from "../create-places.ts"
import { formatNumber, formatRange, formatRatio } from "../format-number.ts"
import { interleave } from "../interleave.ts"
import { createOutcome, type Outcome } from "../outcome.ts"
import { fill, warmUps } from "../payloads.ts"
import { repeat } from "../repeat.ts"
import { median, medianRatio, spread, type Spread } from "../statistics.ts"
import { vacuum } from "../with-client.ts"
import { withSessions } from "../with-sessions.ts"
import type { Bench, Place, Workload } from "../workload.ts"
import { readAndDelete } from "./drain.ts"

const batch = 10

export const backlog: Workload = {
  name: "backlog",
  about: "a batch of 10 read and deleted with 10 k and with 1 M messages waiting",
  async run(bench) {
    const small = await fillPlaces(bench, bench.sizes.backlogs[0])
    const large = await fillPlaces(bench, bench.sizes.backlogs[1])
    const places = [...small, ...large]
    const turn = (place: Place): Promise<number> => takeTurn(bench, place)
    const turns = await interleave(bench, "backlog", places, turn, (result) => `${formatNumber(result)} ms`)
    return summarise(bench, turns)
  },
}

async function fillPlaces(bench: Bench, count: number): Promise<Place[]> {
  const places = await createPlaces(bench)
  for (const place of places) {
    await withSessions(place, [{ connections: 2 }], (session) => fill(session, count, bench.stop, 2))
    await vacuum(place.url)
    bench.log(`backlog: ${formatNumber(count)} messages wait in ${place.contestant.name}`)
  }
  return places
}

/** Milliseconds of one batch, the median of many. Afterwards as many wait as before. */
function takeTurn(bench: Bench, place: Place): Promise<number> {
  return withSessions(place, [{ connections: 1 }], async (session) => {
    for (let i = 0; i < warmUps; i++) await readAndDelete(session, batch)
    const times: number[] = []
    const limits = { calls: bench.sizes.backlogReads, seconds: bench.sizes.turnSeconds, stop: bench.stop }
    const { count } = await repeat(limits, async () => {
      const started = performance.now()
      const handled = await readAndDelete(session, batch)
      times.push(performance.now() - started)
      return handled
    })
    await fill(session, count + warmUps * batch, bench.stop)
    return median(times)
  })
}

interface BacklogRow {
  readonly contestant: string
  /** Milliseconds of a batch, over the rounds. */
  readonly small: Spread
  readonly large: Spread
  readonly ratio: number
}

function summarise({ contestants, sizes }: Bench, turns: readonly (readonly number[])[]): Outcome {
  const rows = contestants.map(({ name }, i): BacklogRow => {
    const [small, large] = [turns[i]!, turns[contestants.length + i]!]
    return { contestant: name, small: spread(small), large: spread(large), ratio: medianRatio(large, small) }
  })
  const [few, many] = sizes.backlogs.map(formatNumber)
  return createOutcome(
    "Backlog: milliseconds to read and delete a batch of 10, by how many wait",
    {
      // The space tells the second range from the first.
      "contestant": (row) => row.contestant,
      [`${few}`]: (row) => formatNumber(row.small.median),
      "min … max": (row) => formatRange(row.small.min, row.small.max),
      [`${many}`]: (row) => formatNumber(row.large.median),
      " min … max": (row) => formatRange(row.large.min, row.large.max),
      "many ÷ few": (row) => formatRatio(row.ratio),
    },
    rows,
  )
}
