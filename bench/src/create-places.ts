import type { OpenOptions } from "./contestant.ts"
import type { Bench, Place } from "./workload.ts"

/** One place for each contestant. */
export async function createPlaces(bench: Bench, options?: Pick<OpenOptions, "wake">): Promise<Place[]> {
  const places: Place[] = []
  for (const contestant of bench.contestants) places.push(await bench.createPlace(contestant, options))
  return places
}
