import type { QueueOptions } from "@sluice/core"
import type { Pool } from "pg"
import type { Random } from "./random.ts"

export const storages = ["shared", "dedicated", "id", "time"] as const
export type Storage = (typeof storages)[number]

export interface StressOptions {
  /** Of an empty database that is the stress's own. */
  readonly url: string
  /** How long the load lasts; what is left is worked off after it. */
  readonly seconds: number
  readonly random: Random
  readonly storage: Storage
  /** Ends the load early. What there is by then is verified all the same. */
  readonly signal: AbortSignal
  readonly log: (line: string) => void
  /** Breaks the installation before the load begins: how it is proved that a stress can fail. */
  readonly sabotage?: (pool: Pool) => Promise<unknown>
}

export interface Outcome {
  readonly counts: Readonly<Record<string, number>>
  /** What must be zero. */
  readonly violations: Readonly<Record<string, number>>
  /** What else went wrong, in words: each fails the stress. */
  readonly errors: readonly string[]
}

export type Stress = (options: StressOptions) => Promise<Outcome>

/** The queue options that put a queue into a storage. Ranges are small, so that many come and go while messages do. */
export function storageOptions(storage: Storage): QueueOptions {
  switch (storage) {
    case "shared":
      return {}
    case "dedicated":
      return { storage: "dedicated" }
    case "id":
      return { partition: { by: "id", interval: 500, retention: 0, unread: "keep" } }
    case "time":
      return { partition: { by: "time", interval: "2s", retention: "0s", unread: "keep" } }
  }
}

export const failed = ({ violations, errors }: Outcome): boolean => errors.length > 0 || Object.values(violations).some((count) => count > 0)
