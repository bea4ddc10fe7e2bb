import type { Contestant, OpenOptions } from "./contestant.ts"
import type { Outcome } from "./outcome.ts"
import type { Sizes } from "./sizes.ts"

/** What a run is asked to do. */
export interface Plan {
  readonly workloads: readonly Workload[]
  readonly contestants: readonly Contestant[]
  /** Rounds that count, after one that warms up. */
  readonly rounds: number
  readonly sizes: Sizes
  /** How long each contestant is under load with the horizon pinned. */
  readonly pinnedSeconds: number
}

/** A database with one contestant's queue in it. */
export interface Place {
  readonly contestant: Contestant
  readonly url: string
}

/** What a workload works with. */
export interface Bench extends Plan {
  /** Aborted by Ctrl-C: loops look at it. */
  readonly stop: AbortSignal
  log(line: string): void
  /** A fresh database, set up; dropped when the workload is over. */
  createPlace(contestant: Contestant, options?: Pick<OpenOptions, "wake">): Promise<Place>
}

export interface Workload {
  readonly name: string
  readonly about: string
  run(bench: Bench): Promise<Outcome>
}
