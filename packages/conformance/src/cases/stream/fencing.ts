import type { Batch } from "@sluice/core"
import { equal, eventually, inTime, rejectsWith } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import { schema } from "../../open-place.ts"
import { refuses, stopClock } from "../queue/open-queue.ts"
import { dataOf, mustNext, numberedEvents, openStream, type OpenStream, streamElsewhere, take } from "./open-stream.ts"

/** A batch whose lease of 30 s is over, at 31 s after midnight. */
async function openExpired(context: CaseContext): Promise<OpenStream & { readonly batch: Batch }> {
  await stopClock(context, 0)
  const opened = await openStream(context)
  await opened.stream.publishBatch(numberedEvents(3))
  const batch = await mustNext(opened.reader)
  await stopClock(context, 31)
  return { ...opened, batch }
}

const stale = (name: string, { id }: Batch) => ({ stream: name, subscription: "s", batch: id })

/** A batch is one holder's at a time. */
export const streamFencingCases: readonly ConformanceCase[] = [
  {
    name: "another owner gets nothing while a batch is held",
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      await stream.publish("n", 1)
      const batch = await mustNext(reader)
      await stream.publish("n", 2)
      const other = stream.subscription("s", { owner: "another" })
      equal(await other.nextBatch(), null, "the other's batch")
      await batch.finish()
      equal(await take(other), [2], "the other's batch, when the first one is finished")
    },
  },
  {
    name: "a batch whose lease ran out goes to another owner as a new one, and its old holder's calls are refused",
    rule: "core",
    async run(context) {
      const { stream, name, batch } = await openExpired(context)
      const taken = await mustNext(stream.subscription("s", { owner: "another" }))
      equal([taken.id === batch.id, taken.attempt, taken.count], [false, 2, 3], "the same id, attempt and count")
      await refuses(batch.finish(), "stale_batch", stale(name, batch), "finish")
      await refuses(batch.renew(), "stale_batch", stale(name, batch), "renew")
      await refuses(batch.release(), "stale_batch", stale(name, batch), "release")
      equal(dataOf(await taken.list()), [0, 1, 2], "what the new holder reads")
      await taken.finish()
      await refuses(taken.finish(), "stale_batch", stale(name, taken), "finish, a second time")
      equal(await stream.subscription("s", { owner: "another" }).nextBatch(), null, "afterwards")
    },
  },
  {
    name: "the chunks of a batch that another has by now are refused",
    rule: "core",
    async run(context) {
      await stopClock(context, 0)
      const { stream, reader, name } = await openStream(context)
      await stream.publishBatch(numberedEvents(5))
      const batch = await mustNext(reader, { chunk: 2 })
      const events = batch.events()
      for (let n = 0; n < 2; n++) await events.next()
      await stopClock(context, 31)
      await mustNext(stream.subscription("s", { owner: "another" }))
      await refuses(events.next(), "stale_batch", stale(name, batch), "the next chunk")
    },
  },
  {
    name: "a batch whose lease ran out, and that nobody took, can still be finished; nobody gets its events then",
    rule: "core",
    async run(context) {
      const { stream, batch } = await openExpired(context)
      await batch.finish()
      equal(await stream.subscription("s", { owner: "another" }).nextBatch(), null, "afterwards")
    },
  },
  {
    name: "a renewed batch stays its holder's",
    rule: "core",
    async run(context) {
      await stopClock(context, 0)
      const { stream, reader } = await openStream(context)
      await stream.publish("n", 1)
      const batch = await mustNext(reader)
      await stopClock(context, 20)
      await batch.renew()
      await stopClock(context, 40)
      equal(await stream.subscription("s", { owner: "another" }).nextBatch(), null, "the other's batch, 40 s after the first one's")
      await batch.finish()
    },
  },
  {
    name: "a batch is finished under its own lease alone, from SQL too",
    rule: "core",
    async run(context) {
      const { stream, reader, name } = await openStream(context)
      await stream.publish("n", 1)
      const batch = await mustNext(reader)
      const finish = (token: string): Promise<unknown[]> => context.exec(`select ${schema}.finish_batch($1::text, 's', $2::text::bigint, $3::text::bigint)::text as done`, [name, batch.id, token])
      await rejectsWith(finish("1"), "SL015", "finish_batch with a token of nobody's")
      await batch.finish()
    },
  },
  {
    name: "a loop whose batch was taken away hears of it by the signal",
    rule: "core",
    async run(context) {
      await stopClock(context, 0)
      const { stream, reader } = await openStream(context)
      await stream.publish("n", 1)
      const code = await inTime((async () => {
        for await (const batch of reader.batches({ lease: "300ms" })) {
          await stopClock(context, 60)
          const taken = stream.subscription("s", { owner: "another" }).nextBatch()
          await eventually(() => batch.signal.aborted, true, "the signal")
          await (await taken)?.finish()
          return (batch.signal.reason as { code?: unknown }).code
        }
        return undefined
      })(), "the loop did not end", 10_000)
      equal(code, "stale_batch", "the signal's reason")
    },
  },
  {
    name: "a subscription that is repositioned forgets its open batch",
    rule: "core",
    async run(context) {
      const { client, stream, reader, name } = await openStream(context)
      await stream.publishBatch(numberedEvents(2))
      const batch = await mustNext(reader)
      await client.admin.reposition(name, "s", { to: "earliest" })
      await refuses(batch.finish(), "stale_batch", stale(name, batch), "finish")
      equal(await take(reader), [0, 1], "from the new position")
    },
  },
  {
    name: "members get batches of their own at the same time, each event once",
    rule: "core",
    async run(context) {
      const { stream } = await openStream(context)
      await stream.publishBatch(numberedEvents(6))
      const members = ["a", "b", "c"].map((owner) => stream.subscription("s", { owner, member: true }))
      const batches = []
      for (const member of members) batches.push(await mustNext(member, { maxEvents: 2 }))
      equal(await stream.subscription("s", { owner: "d", member: true }).nextBatch(), null, "of a fourth member")
      const all = await Promise.all(batches.map((batch) => batch.list()))
      equal(all.map(dataOf), [[0, 1], [2, 3], [4, 5]], "batches")
      for (const batch of batches.toReversed()) await batch.finish()
      equal(await members[0]!.nextBatch(), null, "afterwards")
    },
  },
  {
    name: "a dead member's batch is taken over, and the others' are not",
    rule: "core",
    async run(context) {
      await stopClock(context, 0)
      const { stream, name } = await openStream(context)
      await stream.publishBatch(numberedEvents(4))
      const [dead, alive] = ["dead", "alive"].map((owner) => stream.subscription("s", { owner, member: true }))
      const lost = await mustNext(dead!, { maxEvents: 2 })
      const kept = await mustNext(alive!, { maxEvents: 2 })
      await stopClock(context, 20)
      await kept.renew()
      await stopClock(context, 35)
      const third = stream.subscription("s", { owner: "third", member: true })
      equal([await take(third), await third.nextBatch()], [[0, 1], null], "of the third member")
      await refuses(lost.finish(), "stale_batch", stale(name, lost), "finish of the dead member's batch")
      await kept.finish()
    },
  },
  {
    name: "of many readers that ask at once, each event goes to one",
    rule: "core",
    needs: ["concurrent"],
    async run(context) {
      const { stream, name } = await openStream(context)
      await stream.publishBatch(numberedEvents(40))
      const places = [stream, await streamElsewhere(context, name)]
      const taken = await Promise.all(Array.from({ length: 8 }, async (_, n) => {
        const member = places[n % 2]!.subscription("s", { owner: `member ${n}`, member: true })
        const own: unknown[] = []
        for (let next = await take(member, { maxEvents: 5 }); next.length > 0; next = await take(member, { maxEvents: 5 })) own.push(...next)
        return own
      }))
      equal((taken.flat() as number[]).toSorted((a, b) => a - b), Array.from({ length: 40 }, (_, n) => n), "events of all")
    },
  },
]
