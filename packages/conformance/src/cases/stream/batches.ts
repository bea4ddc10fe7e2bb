import { equal, eventually, inTime, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { stopClock } from "../queue/open-queue.ts"
import { dataOf, mustNext, numberedEvents, openStream, take, takeAll } from "./open-stream.ts"

const numbers = (count: number, from = 0): number[] => Array.from({ length: count }, (_, n) => from + n)

/** What a batch holds, and what there is after it. */
export const batchCases: readonly ConformanceCase[] = [
  {
    name: "nextBatch gives the same batch until it is finished, then what came after it, then nothing",
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      equal(await reader.nextBatch(), null, "a batch before there are events")
      await stream.publishBatch(numberedEvents(3))
      const first = await mustNext(reader)
      await stream.publish("n", 3)
      const again = await mustNext(reader)
      equal([again.id, again.count, again.attempt, dataOf(await again.list())], [first.id, 3, 1, [0, 1, 2]], "the batch, asked for again")
      equal(await first.finish(), { dead: [] }, "finish")
      equal([await take(reader), await reader.nextBatch()], [[3], null], "what came after it, and what came after that")
    },
  },
  {
    name: "maxEvents cuts what there is into batches, each event in one, in order of id",
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      await stream.publishBatch(numberedEvents(25))
      equal(await takeAll(reader, { maxEvents: 10 }), [numbers(10), numbers(10, 10), numbers(5, 20)], "batches")
    },
  },
  {
    name: "the events of many transactions are each in one batch, in order of id",
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      for (const n of numbers(12)) await stream.publish("n", n)
      const batches = await takeAll(reader, { maxEvents: 5 })
      equal(batches.flat(), numbers(12), "all events")
      ok(batches.every(({ length }) => length <= 5), `at most 5 in each batch, received ${batches.map(({ length }) => length).join(", ")}`)
    },
  },
  {
    name: "minEvents waits for so many, maxWait for no longer",
    rule: "core",
    async run(context) {
      await stopClock(context, 0)
      const { stream, reader } = await openStream(context)
      await stream.publishBatch(numberedEvents(2))
      equal(await reader.nextBatch({ minEvents: 3, maxWait: "10s" }), null, "two of three")
      await stopClock(context, 11)
      equal(dataOf(await (await mustNext(reader, { minEvents: 3, maxWait: "10s" })).list()), [0, 1], "two, after the wait")
    },
  },
  {
    name: "events come chunk by chunk, all of them, and can be read again",
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      await stream.publishBatch(numberedEvents(25))
      const batch = await mustNext(reader, { chunk: 10 })
      for (const time of ["first", "second"]) equal(dataOf(await batch.list()), numbers(25), `the ${time} time`)
      const some: unknown[] = []
      for await (const { data } of batch.events()) if (some.push(data) === 12) break
      equal(some, numbers(12), "broken off after 12")
      const another = await mustNext(reader, { chunk: 7 })
      equal([another.id, dataOf(await another.list())], [batch.id, numbers(25)], "the same batch in chunks of 7")
      await another.finish()
    },
  },
  {
    name: "each subscription gets every event, at its own pace; a new one begins at latest, or at earliest",
    rule: "core",
    async run(context) {
      const { client, stream, reader, name } = await openStream(context)
      await stream.publish("n", 1)
      await client.admin.createSubscription(name, "early", { from: "earliest" })
      await client.admin.createSubscription(name, "late")
      const [early, late] = [stream.subscription("early"), stream.subscription("late")]
      equal(await take(reader), [1], "of the first one")
      await stream.publish("n", 2)
      equal([await takeAll(early), await takeAll(late), await takeAll(reader)].map((all) => all.flat()), [[1, 2], [2], [2]], "early, late, and the first one")
    },
  },
  {
    name: "an event that is retried comes again to this subscription alone, with its id and time, and the others are done",
    rule: "core",
    async run(context) {
      const { client, stream, reader, name } = await openStream(context)
      await client.admin.createSubscription(name, "other")
      await stream.publishBatch(numberedEvents(3))
      const batch = await mustNext(reader)
      const events = await batch.list()
      batch.retry(events[1]!, { delay: 0, error: new Error("not yet") })
      await batch.finish()
      const retried = await mustNext(reader)
      const [again, ...more] = await retried.list()
      equal([retried.retried, again, more], [true, { ...events[1]!, attempt: 2 }, []], "the second delivery")
      await retried.finish()
      equal(await reader.nextBatch(), null, "afterwards")
      equal(await takeAll(stream.subscription("other")), [[0, 1, 2]], "the other subscription")
    },
  },
  {
    name: "a retry with a delay comes when that is over, and what is done in between goes on",
    rule: "core",
    async run(context) {
      await stopClock(context, 0)
      const { stream, reader } = await openStream(context)
      await stream.publish("n", 1)
      const batch = await mustNext(reader)
      batch.retry((await batch.list())[0]!, { delay: "10s" })
      await batch.finish()
      await stream.publish("n", 2)
      equal([await take(reader), await reader.nextBatch()], [[2], null], "before it is due")
      await stopClock(context, 11)
      equal(await take(reader), [1], "when it is due")
    },
  },
  {
    name: "an event at its limit of attempts is dead; dead ones are kept, and come again when they are redriven",
    rule: "core",
    async run(context) {
      const { client, stream, reader, name } = await openStream(context, { maxAttempts: 2 })
      await stream.publishBatch(numberedEvents(2))
      for (const dead of [false, true]) {
        const batch = await mustNext(reader)
        const events = await batch.list()
        batch.retry(events.at(-1)!, { delay: 0, error: new Error("broken") })
        equal((await batch.finish()).dead, dead ? [events.at(-1)!.id] : [], "dead by this finish")
      }
      equal(await reader.nextBatch(), null, "afterwards")
      const [one, ...more] = await client.admin.deadEvents(name, "s")
      equal([one?.data, one?.attempt, one?.errors.map(({ message }) => message), more], [1, 2, ["broken", "broken"], []], "dead events")
      equal(await client.admin.redriveEvents(name, "s"), [one!.id], "redriven")
      equal([await take(reader), await client.admin.deadEvents(name, "s")], [[1], []], "what comes again, and what is dead then")
    },
  },
  {
    name: "deadLetter gives an event up at once; done takes back what was decided",
    rule: "core",
    async run(context) {
      const { client, stream, reader, name } = await openStream(context)
      await stream.publishBatch(numberedEvents(3))
      const batch = await mustNext(reader)
      const [a, b, c] = await batch.list()
      batch.deadLetter(a!, { error: new Error("never") })
      batch.retry(b!, { delay: 0 })
      batch.done(b!)
      batch.retry(c!, { delay: "1h" })
      batch.deadLetter(c!)
      equal((await batch.finish()).dead.toSorted(), [a!.id, c!.id], "dead")
      equal(await reader.nextBatch(), null, "afterwards")
      const dead = await client.admin.deadEvents(name, "s")
      equal(dead.map(({ data, errors }) => [data, errors.map(({ message }) => message)]), [[2, []], [0, ["never"]]], "dead events, the newest first")
    },
  },
  {
    name: "a batch that is given back is there for whoever asks next, its attempt not charged",
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      await stream.publish("n", 1)
      const batch = await mustNext(reader)
      await batch.release()
      const next = await mustNext(stream.subscription("s", { owner: "another" }))
      equal([next.attempt, dataOf(await next.list()), next.id === batch.id], [1, [1], false], "attempt, data, and the same id")
      await next.finish()
      equal(await reader.nextBatch(), null, "afterwards")
    },
  },
  {
    name: "the loop over batches finishes each when it goes on; breaking off leaves the last one open",
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      await stream.publishBatch(numberedEvents(5))
      const seen: unknown[][] = []
      for await (const batch of reader.batches({ maxEvents: 2 })) if (seen.push(dataOf(await batch.list())) === 2) break
      equal(seen, [[0, 1], [2, 3]], "batches")
      equal(await takeAll(reader, { maxEvents: 2 }), [[2, 3], [4]], "what is left")
    },
  },
  {
    name: "the loop over events finishes a batch after its last one, and hears of what is published meanwhile",
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      const stop = new AbortController()
      const seen: unknown[] = []
      const loop = (async () => {
        for await (const { data } of reader.events({ maxEvents: 2, signal: stop.signal })) seen.push(data)
      })()
      context.after(async () => stop.abort())
      await stream.publishBatch(numberedEvents(3))
      await eventually(() => seen.length, 3, "events of the loop")
      await stream.publish("n", 3)
      await eventually(() => seen.length, 4, "events of the loop")
      await stream.publish("n", 4)
      await eventually(() => seen.length, 5, "events of the loop")
      stop.abort()
      await inTime(loop, "the loop did not end")
      equal(seen, numbers(5), "events")
    },
  },
]
