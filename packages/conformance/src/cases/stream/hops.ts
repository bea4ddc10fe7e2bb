import type { JsonObject, Stream, Subscription } from "@sluice/core"
import { equal, inTime, rejects } from "../../assert.ts"
import type { HopCase, HopSide } from "../hops.ts"
import { dataOf, mustNext } from "./open-stream.ts"

const rule = "hops"

interface Ends {
  readonly out: Stream
  readonly into: Stream
  readonly reader: Subscription
}

/** A stream of the hop's own, seen from both sides; the other side reads. */
async function openEnds(from: HopSide, to: HopSide, queue: string): Promise<Ends> {
  const name = `${queue}.events`
  await from.client.admin.createStream(name)
  await to.client.admin.createSubscription(name, "s")
  const into = to.client.stream(name)
  return { out: from.client.stream(name), into, reader: into.subscription("s") }
}

/** Published on one driver, read and finished on another. */
export const streamHops = (samples: readonly (readonly [string, unknown])[], headers: JsonObject): readonly HopCase[] => [
  {
    name: "events of every kind, published alone and in a batch, read and finished there",
    rule,
    async run({ from, to, queue }) {
      const { out, reader } = await openEnds(from, to, queue)
      const values = samples.map(([, value]) => value)
      const extra = ["ü", null, "{}", "1"] as const
      const ids: string[] = []
      for (const data of values) ids.push(await out.publish("one", data, { key: "ключ", headers, extra }))
      ids.push(...(await out.publishBatch(values.map((data) => ({ type: "many", data, key: "", headers })))))
      const batch = await mustNext(reader, { chunk: 5 })
      const events = await batch.list()
      equal(events.map(({ id }) => id), ids, "ids, in order")
      equal(dataOf(events), [...values, ...values], "data")
      equal(events.map((event) => [event.type, event.key, event.headers, event.extra]), values.map(() => ["one", "ключ", headers, extra] as unknown).concat(values.map(() => ["many", "", headers, [null, null, null, null]])), "type, key, headers and extras")
      await batch.finish()
      const { batches, pendingEvents } = await from.client.admin.getSubscriptionInfo(out.name, "s")
      equal([batches, pendingEvents], [[], 0], "open batches and events to come, as the publisher sees them")
    },
  },
  {
    name: "published in a transaction here, finished with an effect in one there, and nothing of what rolls back",
    rule,
    async run({ from, to, queue }) {
      const { out, reader } = await openEnds(from, to, queue)
      const table = `public.${queue}`
      await from.driver.query(`create table ${table} (n int4)`)
      for (const commit of [false, true]) {
        const published = from.begin(async (tx) => {
          await out.publish("n", 1, { tx })
          equal(await reader.nextBatch(), null, "what the other side gets before the commit")
          if (!commit) throw new Error("rolled back")
        })
        await (commit ? published : rejects(published, "the publisher's transaction"))
      }
      const batch = await mustNext(reader)
      for (const commit of [false, true]) {
        const finished = to.begin(async (tx) => {
          await to.driver.within(tx).query(`insert into ${table} values (1)`)
          await batch.finish({ tx })
          if (!commit) throw new Error("rolled back")
        })
        await (commit ? finished : rejects(finished, "the reader's transaction"))
        if (!commit) equal(dataOf(await batch.list()), [1], "the batch after a rollback")
      }
      equal(await from.driver.query(`select n from ${table}`).then((rows) => rows.length), 1, "effects that the publisher sees")
      equal(await reader.nextBatch(), null, "left")
    },
  },
  {
    name: "an owner has his batch on both sides, and a retry there comes again here",
    rule,
    async run({ from, to, queue }) {
      const { out, reader } = await openEnds(from, to, queue)
      await out.publishBatch([1, 2].map((data) => ({ type: "n", data, headers })))
      const there = await mustNext(reader)
      const here = await mustNext(out.subscription("s", { owner: reader.owner }))
      equal(here.id, there.id, "the batch, by its owner's name on the other side")
      there.retry((await there.list())[1]!, { delay: 0, error: new Error("not yet") })
      await there.finish()
      const error = await rejects(here.finish(), "the second finish")
      equal((error as { code?: string }).code, "stale_batch", "the code of the error")
      const [again] = await (await mustNext(out.subscription("s"))).list()
      equal([again?.data, again?.attempt, again?.headers], [2, 2, headers], "the second delivery")
    },
  },
  {
    name: "a transactional subscriber there: effects and finish are one transaction of its library",
    rule,
    async run({ from, to, queue }) {
      const { out, into, reader } = await openEnds(from, to, queue)
      const table = `public.${queue}`
      await from.driver.query(`create table ${table} (n int4)`)
      await out.publishBatch([1, 2, 3].map((data) => ({ type: "n", data })))
      const subscriber = to.client.subscriber(into, "s", async ({ data }, { tx }) => {
        await to.driver.within(tx).query(`insert into ${table} values ($1::int4)`, [data as number])
        if (data === 2) throw new Error("failed there")
      }, { transactional: true, maintenance: false })
      await inTime(subscriber.drain(), "drain()", 10_000)
      const rows = await from.driver.query<{ n: number }>(`select n from ${table} order by n`)
      equal(rows.map(({ n }) => n), [1, 3], "effects that the publisher sees")
      equal([(await from.client.admin.getSubscriptionInfo(out.name, "s")).retries, await reader.nextBatch()], [1, null], "events to be retried, and what is there now")
    },
  },
]
