import type { Batch, BatchLimits, CreateSubscriptionOptions, EventTypes, Stream, StreamEvent, StreamOptions, Subscription, SubscriptionOptions } from "@sluice/core"
import type { PoolClient } from "pg"
import { type Harness, harness } from "./harness.ts"

export type TestStream = Stream<EventTypes, PoolClient>
export type TestSubscription = Subscription<EventTypes, PoolClient>
export type TestBatch = Batch<EventTypes, PoolClient>

export interface StreamHarness extends Harness {
  /** Creates a stream of a name that no other test uses. */
  freshStream(options?: StreamOptions): Promise<TestStream>
  /** Creates the subscription, and reads it as the owner "a" unless told. */
  subscribe(stream: TestStream, name?: string, options?: CreateSubscriptionOptions<PoolClient>, reader?: SubscriptionOptions): Promise<TestSubscription>
}

export async function streamHarness(own?: string): Promise<StreamHarness> {
  const base = await harness(own)
  let made = 0
  return {
    ...base,
    freshStream: async (options) => base.client.stream((await base.client.admin.createStream(`stream.${++made}`, options)).name),
    subscribe: async (stream, name = "sub", options = {}, reader = {}) => {
      await base.client.admin.createSubscription(stream.name, name, options)
      return stream.subscription(name, { owner: "a", ...reader })
    },
  }
}

/** Publishes these numbers, in one statement. */
export async function publish(stream: TestStream, numbers: readonly number[], tx?: PoolClient): Promise<string[]> {
  return stream.publishBatch(numbers.map((n) => ({ type: "n", data: n })), { ...(tx && { tx }) })
}

/** `from` to `to`, both included. */
export const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

export async function numbersOf(batch: TestBatch | null): Promise<number[] | null> {
  return batch && (await batch.list()).map(({ data }) => data as number)
}

/** The next batch, as numbers, finished; null where there is none. */
export async function take(subscription: TestSubscription, limits?: BatchLimits): Promise<number[] | null> {
  const batch = await subscription.nextBatch(limits)
  const numbers = await numbersOf(batch)
  await batch?.finish()
  return numbers
}

/** Finishes batch after batch until there is none: the numbers of each. */
export async function takeAll(subscription: TestSubscription, limits?: BatchLimits): Promise<number[][]> {
  const all: number[][] = []
  for (let numbers; (numbers = await take(subscription, limits)) !== null;) {
    if (all.push(numbers) > 1000) throw new Error("there is no end of batches")
  }
  return all
}

/** One event that was read, for `retry` and the like. */
export async function eventOf(batch: TestBatch, n: number): Promise<StreamEvent> {
  return (await batch.list()).find(({ data }) => data === n)!
}

/** Transactions that a test keeps open, each on a connection of its own. */
export async function openTransaction(pool: Harness["pool"], begin = "begin"): Promise<{ readonly tx: PoolClient; end(how?: string): Promise<void> }> {
  const tx = await pool.connect()
  await tx.query(begin)
  return {
    tx,
    end: async (how = "commit") => {
      await tx.query(how)
      tx.release()
    },
  }
}

