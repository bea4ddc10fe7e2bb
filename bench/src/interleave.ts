import type { Bench, Place } from "./workload.ts"

/**
 * A B C, then B C A, …: whatever else the machine does meets everybody. The first round warms up and does not count.
 * Returns what the turns of each place gave, in the order of the places.
 */
export async function interleave<Result>(
  bench: Bench,
  title: string,
  places: readonly Place[],
  turn: (place: Place) => Promise<Result>,
  tell: (result: Result) => string,
): Promise<Result[][]> {
  const results: Result[][] = places.map(() => [])
  for (let round = 0; round <= bench.rounds; round++) {
    const told: string[] = []
    for (let i = 0; i < places.length; i++) {
      const at = (i + round) % places.length
      const place = places[at]!
      bench.stop.throwIfAborted()
      const result = await turn(place).catch((cause: unknown) => {
        bench.stop.throwIfAborted()
        throw new Error(`${place.contestant.name} failed: ${title}`, { cause })
      })
      if (round > 0) results[at]!.push(result)
      told[at] = `${place.contestant.name} ${tell(result)}`
    }
    bench.log(`${title}, ${round === 0 ? "warm-up" : `round ${round} of ${bench.rounds}`}: ${told.join(", ")}`)
  }
  return results
}
