import type { MaintenanceReport } from "@sluice/core"
import { Pool } from "pg"

export const QUEUE = "race"
/** By this name their connections are found, to be terminated. */
export const MAINTAINER = "sluice stress maintenance"

/** Flips as often as the server's statistics, written once a second, let them come. */
export const maintenanceOptions = { interval: "50ms", partitionInterval: "1s", flipAfter: 50, flipPause: "100ms" } as const

export function openPool(url: string, max: number, name = "sluice stress"): Pool {
  const pool = new Pool({ connectionString: url, max, application_name: name })
  pool.on("error", () => {}) // an idle connection that was terminated
  return pool
}

/** What a child is told when it starts. */
export interface Job {
  readonly url: string
  readonly seed: number
}

/** What a child that maintains tells. */
export type Told = { readonly report: MaintenanceReport } | { readonly error: string }
