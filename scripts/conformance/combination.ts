import type { CaseReport, ConformanceReport } from "@sluice/conformance"
import type { Adapter, Mode } from "./adapter.ts"

/** One line of the table: what a child process runs. */
export interface Combination {
  readonly adapter: string
  readonly mode: string
  readonly place: NonNullable<Mode["place"]>
  readonly drizzle?: string
  readonly only?: { readonly groups: readonly string[]; readonly because: string }
  readonly brief?: boolean | readonly string[]
}

/** What a child process is told. */
export interface Task {
  readonly adapter: string
  readonly mode: string
  /** Empty for an adapter in its own process. */
  readonly url: string
  readonly groups: readonly string[]
}

/** What a child process tells. */
export type Told = { readonly one: CaseReport } | { readonly report: ConformanceReport } | { readonly broken: string }

/** How a line of the table came out. */
export interface Outcome {
  readonly adapter: string
  readonly mode: string
  readonly ms: number
  readonly report?: ConformanceReport
  /** Why the line could not be run at all. */
  readonly skipped?: string
  /** Groups that were left to another line. */
  readonly left?: readonly string[]
  /** Groups without a meaning here. */
  readonly without?: { readonly groups: readonly string[]; readonly because: string }
}

/** The line of the table that sends on one adapter and reads on another. */
export const hops = { adapter: "hops", mode: "every ordered pair" } as const

export function combinationsOf(adapters: readonly Adapter[]): Combination[] {
  return adapters.flatMap(({ name, modes, drizzle }) =>
    modes.map((mode) => ({ adapter: name, mode: mode.name, place: mode.place ?? "server", drizzle, only: mode.only, brief: mode.brief })),
  )
}
