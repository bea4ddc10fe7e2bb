import type { Batch, Client, CreateSubscriptionOptions, Stream, StreamEvent, StreamOptions, Subscription } from "@sluice/core"
import { fail } from "../../assert.ts"
import type { CaseContext } from "../../case.ts"
import { openClient } from "../queue/open-queue.ts"

export interface OpenStream {
  readonly client: Client
  readonly stream: Stream
  readonly name: string
  /** Of the subscription "s", which is there from the beginning. Its owner is this process. */
  readonly reader: Subscription
}

/** A stream of the case's own, with one subscription. */
export async function openStream(context: CaseContext, { stream: streamOptions = {}, ...options }: { readonly stream?: StreamOptions } & CreateSubscriptionOptions<unknown> = {}): Promise<OpenStream> {
  const client = await openClient(context)
  const name = context.unique("stream")
  await client.admin.createStream(name, streamOptions)
  await client.admin.createSubscription(name, "s", options)
  const stream = client.stream(name)
  return { client, stream, name, reader: stream.subscription("s") }
}

/** The same stream through a driver with connections of its own. */
export async function streamElsewhere(context: CaseContext, name: string): Promise<Stream> {
  const { driver } = await context.connect()
  return (await openClient(context, {}, driver)).stream(name)
}

/** A batch that must be there. */
export async function mustNext(reader: Subscription, options?: Parameters<Subscription["nextBatch"]>[0]): Promise<Batch> {
  return (await reader.nextBatch(options)) ?? fail(`nextBatch() of ${reader.name} by ${reader.owner}: there must be a batch`)
}

/** The data of the next batch, which is finished. */
export async function take(reader: Subscription, options?: Parameters<Subscription["nextBatch"]>[0]): Promise<unknown[]> {
  const batch = await reader.nextBatch(options)
  if (batch === null) return []
  const events = await batch.list()
  await batch.finish()
  return dataOf(events)
}

/** The data of all that is to come, batch by batch. */
export async function takeAll(reader: Subscription, options?: Parameters<Subscription["nextBatch"]>[0]): Promise<unknown[][]> {
  const batches: unknown[][] = []
  for (let next = await take(reader, options); next.length > 0; next = await take(reader, options)) batches.push(next)
  return batches
}

export const dataOf = (events: readonly StreamEvent[]): unknown[] => events.map(({ data }) => data)

/** Events that carry their numbers. */
export const numberedEvents = (count: number, from = 0): { type: string; data: number }[] => Array.from({ length: count }, (_, n) => ({ type: "n", data: from + n }))
