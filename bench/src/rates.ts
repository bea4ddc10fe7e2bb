import { baseline } from "./contestants.ts"
import { formatNumber, formatRange, formatRatio } from "./format-number.ts"
import { createOutcome, type Outcome } from "./outcome.ts"
import type { Turn } from "./repeat.ts"
import { medianRatio, spread, type Spread } from "./statistics.ts"
import type { Place } from "./workload.ts"

export interface RateRow extends Spread {
  readonly case: string
  readonly contestant: string
  /** Messages a second, of each round. */
  readonly rounds: readonly number[]
  /** To the baseline, where it took part. */
  readonly ratio: number | undefined
}

export function rateOf({ count, milliseconds }: Turn): number {
  return (count / milliseconds) * 1000
}

/** One row for each contestant, from the turns that `interleave` returns. */
export function rateRows(name: string, places: readonly Place[], turns: readonly (readonly Turn[])[]): RateRow[] {
  const base = turns[places.findIndex(({ contestant }) => contestant.name === baseline)]?.map(rateOf)
  return places.map(({ contestant }, i) => {
    const rounds = turns[i]!.map(rateOf)
    return { case: name, contestant: contestant.name, ...spread(rounds), ratio: base && medianRatio(rounds, base), rounds }
  })
}

export function rateOutcome(title: string, rows: readonly RateRow[]): Outcome {
  return createOutcome(
    title,
    {
      "": (row) => row.case,
      "contestant": (row) => row.contestant,
      "msg/s": (row) => formatNumber(row.median),
      "min … max": (row) => formatRange(row.min, row.max),
      [`of ${baseline}`]: (row) => formatRatio(row.ratio),
    },
    rows,
  )
}
