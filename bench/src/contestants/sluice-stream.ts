import { type Batch, createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { Pool } from "pg"
import type { Contestant, Payload, Received, Session } from "../contestant.ts"

interface ReadEvent extends Received {
  readonly batch: Batch
}

/** A stream with one subscription as if it were a queue: each session is a member, and settles a batch as a whole. */
export const sluiceStream: Contestant = {
  name: "sluice-stream",
  open(url, { connections, listen }): Session<ReadEvent> {
    const pool = new Pool({ connectionString: url, max: connections, idleTimeoutMillis: 0 })
    pool.on("error", () => {})
    const client = createClient(pgDriver(pool), { listen })
    const stream = client.stream("bench")
    const reader = stream.subscription("reader", { member: true })
    const eventsOf = async (batch: Batch | null): Promise<ReadEvent[]> =>
      batch === null ? [] : (await batch.list()).map(({ data }) => ({ payload: data as Payload, batch }))
    return {
      setup: async () => {
        await client.admin.install()
        // So short that a run meets a rotation or two.
        await client.admin.createStream("bench", { rotationPeriod: "5s" })
        await client.admin.createSubscription("bench", "reader")
      },
      send: (payload) => stream.publish("n", payload),
      sendBatch: (payloads) => stream.publishBatch(payloads.map((data) => ({ type: "n", data }))),
      readBatch: async () => eventsOf(await reader.nextBatch({ maxEvents: 1000 })),
      receive: async () => {
        for await (const batch of reader.batches({ signal: AbortSignal.timeout(1000) })) return eventsOf(batch)
        return []
      },
      deleteBatch: ([first]) => first!.batch.finish(),
      workOff: async ({ concurrency, transactional }) => {
        let count = 0
        const subscriber = transactional
          ? client.subscriber(stream, "reader", () => undefined, { transactional, members: concurrency, maintenance: false })
          : client.subscriber(stream, "reader", () => undefined, { concurrency, maintenance: false })
        subscriber.on("done", () => void count++)
        await subscriber.drain()
        return count
      },
      work: async (handle) => {
        const subscriber = client.subscriber(stream, "reader", ({ data }) => handle(data as Payload), { maintenance: false })
        await subscriber.start()
        return () => subscriber.stop()
      },
      maintain: () => {
        const maintenance = client.maintenance()
        maintenance.start()
        return () => maintenance.stop()
      },
      close: async () => {
        await client.close()
        await pool.end()
      },
    }
  },
}
