import type { Client, StreamEvent, StreamOptions } from "@sluice/core"
import type { PoolClient } from "pg"

export interface Recorded {
  readonly name: string
  /** Events that were committed since it was last asked, all of them. */
  news(): Promise<StreamEvent[]>
}

let made = 0

/** A stream that no other test of the file uses, and a subscription that reads it from its beginning. */
export async function freshStream(client: Client<PoolClient>, options: StreamOptions = {}): Promise<Recorded> {
  const name = `stream.${++made}`
  await client.admin.createStream(name, options)
  return reading(client, name)
}

/** The events of a stream from its beginning. */
export async function reading(client: Client<PoolClient>, name: string): Promise<Recorded> {
  await client.admin.createSubscription(name, "test", { from: "earliest" })
  const subscription = client.stream(name).subscription("test")
  const news = async (): Promise<StreamEvent[]> => {
    const events: StreamEvent[] = []
    for (let batch = await subscription.nextBatch(); batch !== null; batch = await subscription.nextBatch()) {
      events.push(...(await batch.list()))
      await batch.finish()
    }
    return events
  }
  return { name, news }
}
