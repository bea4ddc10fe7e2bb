import { createClient, outcome } from "@sluice/core"
import { equal, eventually, inTime, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { schema } from "../../open-place.ts"
import { borrowed, openClient, refuses, stopClock } from "../queue/open-queue.ts"
import { mustNext, numberedEvents, openStream, streamElsewhere, take } from "../stream/open-stream.ts"
import { codeOf, fired } from "../worker/open-worker.ts"
import { openSubscriber } from "./open-subscriber.ts"

/** Handlers of single events, and what becomes of their batches. */
export const subscriberCases: readonly ConformanceCase[] = [
  {
    name: "every event is handled once, in order, by the handler of its type, and the batch is finished",
    rule: "core",
    async run(context) {
      const { client, stream, reader } = await openStream(context)
      await stream.publishBatch([...numberedEvents(3), { type: "m", data: 3 }, { type: "nobody's", data: 4 }])
      const seen: unknown[] = []
      const { drain, names } = openSubscriber(context, client, stream, { n: ({ data }) => seen.push(["n", data]), m: ({ data }) => seen.push(["m", data]) }, { maxEvents: 2 })
      await drain()
      equal(seen, [["n", 0], ["n", 1], ["n", 2], ["m", 3]], "handled")
      equal(names(), ["done", "done", "done", "done", "done", "stopped"], "told")
      equal(await reader.nextBatch(), null, "left")
    },
  },
  {
    name: "a failing event is retried alone, with the error, and the others are done",
    rule: "core",
    async run(context) {
      const { client, stream } = await openStream(context, { backoff: null })
      await stream.publishBatch(numberedEvents(3))
      const seen: unknown[] = []
      const { drain, names, told } = openSubscriber(context, client, stream, ({ data, attempt }) => {
        seen.push([data, attempt])
        if (data === 1 && attempt === 1) throw new Error("first time")
      })
      await drain()
      equal(seen, [[0, 1], [1, 1], [2, 1], [1, 2]], "data and attempts")
      equal(names(), ["done", "retry", "done", "done", "stopped"], "told")
      equal((told("retry")[0]!.error as Error).message, "first time", "the error")
    },
  },
  {
    name: "an event that goes on failing is dead at its limit, and kept with its errors",
    rule: "core",
    async run(context) {
      const { client, stream, name } = await openStream(context, { backoff: null, maxAttempts: 2 })
      await stream.publishBatch(numberedEvents(2))
      const { drain, names } = openSubscriber(context, client, stream, ({ data, attempt }) => {
        if (data === 0) throw new Error(`attempt ${attempt}`)
      })
      await drain()
      equal(names(), ["retry", "done", "dead", "stopped"], "told")
      const dead = await client.admin.deadEvents(name, "s")
      equal(dead.map(({ data, errors }) => [data, errors.map(({ message }) => message)]), [[0, ["attempt 1", "attempt 2"]]], "dead events")
    },
  },
  {
    name: "outcomes: done, retry and deadLetter, returned or thrown",
    rule: "core",
    async run(context) {
      const { client, stream, name } = await openStream(context)
      const outcomes = [outcome.done(), outcome.retry({ delay: "1h", error: "why" }), outcome.deadLetter("never")]
      await stream.publishBatch(numberedEvents(6))
      const { drain, names } = openSubscriber(context, client, stream, ({ data }) => {
        const made = outcomes[(data as number) % 3]!
        if ((data as number) >= 3) throw made
        return made
      })
      await drain()
      equal(names(), ["done", "retry", "dead", "done", "retry", "dead", "stopped"], "told")
      equal((await client.admin.deadEvents(name, "s")).map(({ data }) => data), [5, 2], "dead events")
      equal((await client.admin.getSubscriptionInfo(name, "s")).retries, 2, "events to be retried")
    },
  },
  {
    name: "members handle batches at the same time, each event once; concurrency handles events of one batch at the same time",
    rule: "core",
    needs: ["parallel"],
    async run(context) {
      for (const options of [{ members: 2, maxEvents: 2 }, { concurrency: 2 }]) {
        const { client, stream } = await openStream(context)
        await stream.publishBatch(numberedEvents(4))
        const seen: number[] = []
        const both = Promise.withResolvers<void>()
        let running = 0
        const { drain, told } = openSubscriber(context, client, stream, async ({ data }) => {
          if (++running === 2) both.resolve()
          await inTime(both.promise, `two handlers at once with ${JSON.stringify(options)}`)
          seen.push(data as number)
        }, options)
        await drain()
        equal([seen.toSorted((a, b) => a - b), told("error"), told("retry")], [[0, 1, 2, 3], [], []], "handled, errors and retries")
      }
    },
  },
  {
    name: "stop waits for the batch in hand, and begins no other",
    rule: "core",
    async run(context) {
      const { client, stream, reader } = await openStream(context)
      await stream.publishBatch(numberedEvents(4))
      const begun = Promise.withResolvers<void>()
      const gate = Promise.withResolvers<void>()
      const { subscriber, told } = openSubscriber(context, client, stream, () => {
        begun.resolve()
        return gate.promise
      }, { maxEvents: 2 })
      await subscriber.start()
      await inTime(begun.promise, "the first handler")
      const stopped = subscriber.stop()
      gate.resolve()
      await inTime(stopped, "stop()")
      equal([told("done").length, await take(stream.subscription("s", { owner: "another" }))], [2, [2, 3]], "done, and what is left")
      equal(await reader.nextBatch(), null, "afterwards")
    },
  },
  {
    name: "stop with no time left gives the batch back, uncharged",
    rule: "core",
    async run(context) {
      const { client, stream } = await openStream(context)
      await stream.publish("n", 1)
      const reason = Promise.withResolvers<unknown>()
      const { subscriber, tells } = openSubscriber(context, client, stream, async (_event, { signal }) => {
        reason.resolve(await fired(signal))
        throw signal.reason as Error
      })
      await subscriber.start()
      await tells("batch")
      await inTime(subscriber.stop({ timeout: 0 }), "stop()")
      equal(codeOf(await inTime(reason.promise, "the signal")), "worker_stopped", "the signal's reason")
      equal((await mustNext(stream.subscription("s", { owner: "another" }))).attempt, 1, "the attempt of the next delivery")
    },
  },
  {
    name: "a batch that was taken away is told as lost, and its events are the other's",
    rule: "core",
    async run(context) {
      await stopClock(context, 0)
      const { client, stream } = await openStream(context)
      await stream.publish("n", 1)
      const gate = Promise.withResolvers<void>()
      const { subscriber, tells, names } = openSubscriber(context, client, stream, () => gate.promise)
      await subscriber.start()
      await tells("batch")
      await stopClock(context, 31)
      const taken = await mustNext(stream.subscription("s", { owner: "another" }))
      gate.resolve()
      await tells("lost")
      await taken.finish()
      await inTime(subscriber.stop(), "stop()")
      equal(names(), ["lost", "stopped"], "told")
    },
  },
  {
    name: "start says by name what is not there",
    rule: "core",
    async run(context) {
      const { client, name } = await openStream(context)
      const start = (stream: string, subscription: string): Promise<void> => client.subscriber(stream, subscription, () => undefined, { maintenance: false }).start()
      await refuses(start("nowhere", "s"), "stream_not_found", { stream: "nowhere" }, "start of an unknown stream")
      await refuses(start(name, "nobody"), "subscription_not_found", { stream: name, subscription: "nobody" }, "start of an unknown subscription")
    },
  },
  {
    name: "a connection that fails once is told, and everything goes on",
    rule: "core",
    async run(context) {
      const { stream, name } = await openStream(context)
      const driver = borrowed(context.driver)
      let broken = 0
      const query: typeof driver.query = (text, ...values) =>
        text.includes(".try_finish_batch(") && broken++ === 0 ? Promise.reject(Object.assign(new Error("the connection is lost"), { code: "ECONNRESET" })) : driver.query(text, ...values)
      const breaking = createClient({ ...driver, query }, { schema, listen: false, notify: false })
      context.after(() => breaking.close())
      const { subscriber, tells, told } = openSubscriber(context, breaking, breaking.stream(name), () => undefined)
      await subscriber.start()
      await stream.publish("n", 1)
      await tells("error")
      await tells("finished")
      await inTime(subscriber.stop(), "stop()")
      equal(told("error").length, 1, "errors told")
      equal(await stream.subscription("s", { owner: "another" }).nextBatch(), null, "left")
    },
  },
  {
    name: "a subscriber that waits is woken by a publish of its own client: alone, in client.transaction, or by wake",
    rule: "core",
    async run(context) {
      const client = await openClient(context, { listen: false, notify: false })
      const { name } = await openStream(context)
      const stream = client.stream(name)
      const { subscriber, told } = openSubscriber(context, client, stream, () => undefined, { pollInterval: "1h" })
      await subscriber.start()
      const wakes = [
        () => stream.publish("n", 1),
        () => client.transaction((tx) => stream.publish("n", 2, { tx })),
        async () => {
          await context.driver.transaction((tx) => stream.publish("n", 3, { tx }))
          await client.wake(name)
        },
      ]
      for (const [n, wake] of wakes.entries()) {
        await wake()
        await eventually(() => told("done").length, n + 1, "handled before it would have looked by itself", 2_000)
      }
    },
  },
  {
    name: "a subscriber that waits is woken by a publish of another client, by LISTEN",
    rule: "core",
    needs: ["listen", "concurrent"],
    async run(context) {
      const { client, stream, name } = await openStream(context)
      const elsewhere = await streamElsewhere(context, name)
      const { subscriber, told } = openSubscriber(context, client, stream, () => undefined, { pollInterval: "1h" })
      await subscriber.start()
      // The ninth pause is longer than a second: what comes in less was brought by LISTEN.
      await eventually(() => told("idle").length >= 9, true, "looks in vain")
      await elsewhere.publish("n", 1)
      await eventually(() => told("done").length, 1, "handled before it would have looked by itself", 1_000)
      ok(told("error").length === 0, "no errors")
    },
  },
]
