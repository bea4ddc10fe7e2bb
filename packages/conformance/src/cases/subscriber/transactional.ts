import { createClient, type Subscription } from "@sluice/core"
import { equal, inTime, rejects } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import { schema } from "../../open-place.ts"
import { borrowed, openClient, stopClock } from "../queue/open-queue.ts"
import { numberedEvents, openStream, take, takeAll } from "../stream/open-stream.ts"
import { inOwnSavepoint, openEffects } from "../worker/effects.ts"
import { openSubscriber } from "./open-subscriber.ts"

const transactional = true

/** Another owner, and statements, on connections of their own: a pool of one is busy with the transaction. */
async function readerElsewhere(context: CaseContext, stream: string): Promise<{ readonly reader: Subscription; readonly exec: CaseContext["exec"] }> {
  const { driver } = await context.connect()
  return { reader: (await openClient(context, {}, driver)).stream(stream).subscription("s", { owner: "another" }), exec: (text, values) => driver.query(text, values) }
}

/** What handlers did in the transaction of their batch, and that it is finished, commit together or not at all. */
export const transactionalSubscriberCases: readonly ConformanceCase[] = [
  {
    name: "the effects of a batch and its finish are one transaction of the library",
    rule: "within",
    async run(context) {
      const { client, stream, reader } = await openStream(context)
      const { add, seen } = await openEffects(context)
      await stream.publishBatch(numberedEvents(5))
      const { drain, names } = openSubscriber(context, client, stream, ({ data }, { tx }) => add(context.driver, tx, data), { transactional, maxEvents: 2 })
      await drain()
      equal([await seen(), await reader.nextBatch()], [[0, 1, 2, 3, 4], null], "effects, and what is left")
      equal(names(), ["done", "done", "done", "done", "done", "stopped"], "told")
    },
  },
  {
    name: "nobody sees an effect, or gets the events, before both are committed",
    rule: "within",
    needs: ["concurrent"],
    async run(context) {
      const { client, stream, name } = await openStream(context)
      const other = await readerElsewhere(context, name)
      const { add, seen } = await openEffects({ ...context, exec: other.exec })
      const looks: unknown[] = []
      await stream.publish("n", 7)
      const { drain } = openSubscriber(context, client, stream, async ({ data }, { tx }) => {
        await add(context.driver, tx, data)
        looks.push(await seen(), await other.reader.nextBatch())
      }, { transactional })
      await drain()
      equal(looks, [[], null], "effects and a batch, seen from elsewhere in the handler")
      equal([await seen(), (await client.admin.getSubscriptionInfo(name, "s")).batches], [[7], []], "effects and open batches afterwards")
    },
  },
  {
    name: "a handler that throws: its effect never was, the others' stay, and it is retried",
    rule: "savepoint",
    async run(context) {
      const { client, stream } = await openStream(context, { backoff: null })
      const { add, seen } = await openEffects(context)
      await stream.publishBatch(numberedEvents(3))
      const { drain, names } = openSubscriber(context, client, stream, async ({ data, attempt }, { tx }) => {
        await add(context.driver, tx, (data as number) + 10 * attempt)
        if (data === 1 && attempt === 1) throw new Error("after the effect")
      }, { transactional })
      await drain()
      equal(await seen(), [10, 12, 21], "effects")
      equal(names(), ["done", "retry", "done", "done", "stopped"], "told")
    },
  },
  {
    name: "a statement that fails, and whose error the handler swallows: nothing of that event commits, the others' effects do",
    rule: "commit-or-reject",
    async run(context) {
      const { client, stream, name } = await openStream(context, { maxAttempts: 1, backoff: null })
      const { add, seen } = await openEffects(context, "check (n < 100)")
      await stream.publishBatch(numberedEvents(3))
      const { drain } = openSubscriber(context, client, stream, async ({ data }, { tx }) => {
        await add(context.driver, tx, data)
        if (data === 1) await add(context.driver, tx, 100).catch(() => undefined)
      }, { transactional })
      await drain()
      equal(await seen(), [0, 2], "effects")
      equal((await client.admin.deadEvents(name, "s")).map(({ data }) => data), [1], "dead events")
    },
  },
  {
    name: "a commit that fails: no effect of the batch was, and its events are handled one by one, the guilty one dead",
    rule: "commit-or-reject",
    async run(context) {
      const { client, stream, name } = await openStream(context, { maxAttempts: 2, backoff: null })
      const { add, seen } = await openEffects(context, "unique deferrable initially deferred")
      await stream.publishBatch(numberedEvents(3))
      const { drain } = openSubscriber(context, client, stream, async ({ data }, { tx }) => {
        await add(context.driver, tx, data)
        if (data === 1) await add(context.driver, tx, data)
      }, { transactional })
      await drain()
      equal(await seen(), [0, 2], "effects")
      equal((await client.admin.deadEvents(name, "s")).map(({ data }) => data), [1], "dead events")
    },
  },
  {
    name: "a savepoint of an event handler's own: what is undone in it is undone alone",
    rule: "savepoint",
    async run(context) {
      const { client, stream } = await openStream(context)
      const { add, seen } = await openEffects(context, "check (n < 100)")
      await stream.publishBatch(numberedEvents(2))
      const { drain, told } = openSubscriber(context, client, stream, async ({ data }, { tx }) => {
        await add(context.driver, tx, data)
        await rejects(inOwnSavepoint(context.driver, tx, (inner) => add(context.driver, inner, 100)), "the failing savepoint")
        await inOwnSavepoint(context.driver, tx, (inner) => add(context.driver, inner, (data as number) + 10))
      }, { transactional })
      await drain()
      equal([await seen(), told("error")], [[0, 1, 10, 11], []], "effects and errors")
    },
  },
  {
    name: "what a handler publishes in its transaction is there when that commits, and never if it fails",
    rule: "within",
    async run(context) {
      const { client, stream } = await openStream(context, { maxAttempts: 1 })
      const next = await openStream(context)
      await stream.publishBatch(numberedEvents(3))
      const { drain } = openSubscriber(context, client, stream, async ({ data }, { tx }) => {
        await next.stream.publish("on", data, { tx })
        if (data === 1) throw new Error("after the publish")
      }, { transactional })
      await drain()
      equal(await take(next.reader), [0, 2], "published on")
    },
  },
  {
    name: "a batch that another took before it was locked is not handled",
    rule: "within",
    needs: ["concurrent"],
    async run(context) {
      await stopClock(context, 0)
      const { stream, name } = await openStream(context)
      const other = await readerElsewhere(context, name)
      await stream.publishBatch(numberedEvents(2))
      const driver = borrowed(context.driver)
      let taken: unknown[] | undefined
      const within: typeof driver.within = (tx) => ({
        query: async (text, ...values) => {
          if (text.includes(".try_lock_batch(") && taken === undefined) {
            await stopClock({ ...context, exec: other.exec }, 31)
            taken = await take(other.reader)
          }
          return driver.within(tx).query(text, ...values)
        },
      })
      const client = createClient({ ...driver, within }, { schema, listen: false })
      context.after(() => client.close())
      const handled: unknown[] = []
      const { subscriber, tells } = openSubscriber(context, client, client.stream(name), ({ data }) => handled.push(data), { transactional })
      await subscriber.start()
      await tells("lost")
      await inTime(subscriber.stop(), "stop()")
      equal([handled, taken], [[], [0, 1]], "handled here, and taken elsewhere")
      equal(await takeAll(other.reader), [], "left")
    },
  },
  {
    name: "nobody takes a batch whose transaction lives, however long its lease is over",
    rule: "within",
    needs: ["concurrent"],
    async run(context) {
      await stopClock(context, 0)
      const { stream, name } = await openStream(context)
      const other = await readerElsewhere(context, name)
      const client = createClient(borrowed(context.driver), { schema, listen: false })
      context.after(() => client.close())
      await stream.publish("n", 1)
      const looks: unknown[] = []
      const { drain, told } = openSubscriber(context, client, client.stream(name), async () => {
        await stopClock({ ...context, exec: other.exec }, 3600)
        looks.push(await other.reader.nextBatch())
      }, { transactional })
      await drain()
      equal([looks, told("done").length, told("lost")], [[null], 1, []], "what the other got, done and lost")
    },
  },
]
