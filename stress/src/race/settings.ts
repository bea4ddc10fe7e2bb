import type { MaintenanceReport } from "@sluice/core"

export const QUEUE = "race"
/** By this name their connections are found, to be terminated. */
export const MAINTAINER = "sluice stress maintenance"

/** Flips as often as the server's statistics, written once a second, let them come. */
export const maintenanceOptions = { interval: "50ms", partitionInterval: "1s", flipAfter: 50, flipPause: "100ms" } as const

/** What a child that maintains tells. */
export type Told = { readonly report: MaintenanceReport } | { readonly error: string }
