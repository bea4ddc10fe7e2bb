/** How much of everything. Every turn also ends after `turnSeconds`, done or not. */
export interface Sizes {
  readonly turnSeconds: number
  /** Calls of one turn. */
  readonly sendOneByOne: number
  readonly sendAtOnce: number
  readonly sendBatches: number
  /** Messages of one turn, by the size of the batch they are read in. */
  readonly drain: Readonly<Record<number, number>>
  /** Messages of one turn, by how many handlers run at once. */
  readonly worker: Readonly<Record<number, number>>
  readonly workerInTransactions: Readonly<Record<number, number>>
  readonly latency: number
  /** How many messages wait. */
  readonly backlogs: readonly [small: number, large: number]
  /** Batches of 10 in one turn. */
  readonly backlogReads: number
  /** Batches of 1000 events in one turn. */
  readonly streamBatches: number
  /** Events of one turn, each after so many milliseconds of silence: a reader looks ever less often, and at last once a second. */
  readonly streamLatency: number
  readonly streamSilence: readonly [told: number, untold: number]
}

export const fullSizes: Sizes = {
  turnSeconds: 30,
  sendOneByOne: 1000,
  sendAtOnce: 6400,
  sendBatches: 30,
  drain: { 1: 500, 10: 3000, 100: 20_000, 1000: 40_000 },
  worker: { 1: 1000, 10: 6000, 100: 30_000 },
  workerInTransactions: { 1: 500, 10: 2000 },
  latency: 60,
  backlogs: [10_000, 1_000_000],
  backlogReads: 50,
  streamBatches: 30,
  streamLatency: 15,
  streamSilence: [400, 2000],
}

export const quickSizes: Sizes = {
  turnSeconds: 5,
  sendOneByOne: 200,
  sendAtOnce: 1600,
  sendBatches: 5,
  drain: { 1: 100, 10: 500, 100: 2000, 1000: 3000 },
  worker: { 1: 50, 10: 300, 100: 2000 },
  workerInTransactions: { 1: 20, 10: 100 },
  latency: 10,
  backlogs: [2000, 50_000],
  backlogReads: 20,
  streamBatches: 5,
  streamLatency: 2,
  streamSilence: [400, 2000],
}
