export const STREAM = "events"
/** By this name connections are found that are terminated. */
export const READER = "sluice stress reader"

/** Segments and ticks come and go many times a second; nothing expires. */
export const streamOptions = { rotationPeriod: "250ms", tickerMaxCount: 15, tickerMaxLag: "150ms", tickerIdlePeriod: "1s", lagLimit: null } as const

/** How a subscription is read. */
export interface Reading {
  readonly name: string
  /** Its readers share it as members; else one batch at a time is out. */
  readonly member: boolean
  readonly readers: number
  /** How often an event is put off. */
  readonly retries: number
}

/** Those that exist from the beginning. Of `plain` the order of events across batches is verified too. */
export const early: readonly Reading[] = [
  { name: "plain", member: false, readers: 2, retries: 0 },
  { name: "members", member: true, readers: 3, retries: 0.02 },
  { name: "retries", member: false, readers: 1, retries: 0.2 },
]

/** Those that join in the middle. */
export const late: readonly (Reading & { readonly from: "latest" | "earliest" })[] = [
  { name: "late", from: "latest", member: false, readers: 1, retries: 0 },
  { name: "later", from: "earliest", member: true, readers: 2, retries: 0 },
]
