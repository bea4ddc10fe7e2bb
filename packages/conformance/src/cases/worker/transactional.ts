import { createClient, type HandlerOutcome, outcome, type QueueOptions } from "@sluice/core"
import { equal, inTime, ok, rejects } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { schema } from "../../open-place.ts"
import { borrowed, mustRead, openClient, openQueue, payloads } from "../queue/open-queue.ts"
import { inOwnSavepoint, openEffects } from "./effects.ts"
import { numbered, openQueueWorker, openWorker, whereabouts } from "./open-worker.ts"

const transactional = true

interface Way {
  readonly name: string
  readonly options?: QueueOptions
  readonly make: () => HandlerOutcome
  readonly told: string
  readonly where: Awaited<ReturnType<typeof whereabouts>>
}

const ways: readonly Way[] = [
  { name: "done", make: () => outcome.done(), told: "done", where: ["gone"] },
  { name: "retry", make: () => outcome.retry({ delay: "1h", error: "why" }), told: "retry", where: ["delayed", 1, ["why"]] },
  { name: "retry at the limit", options: { maxAttempts: 1 }, make: () => outcome.retry(), told: "dead", where: ["dead", 1, []] },
  { name: "snooze", make: () => outcome.snooze("1h"), told: "snooze", where: ["delayed", 0, []] },
  { name: "deadLetter", make: () => outcome.deadLetter("never"), told: "dead", where: ["dead", 1, ["never"]] },
  { name: "cancel", options: { done: "archive" }, make: () => outcome.cancel(), told: "cancelled", where: ["cancelled", 1, []] },
]

/** What a handler did in its transaction, and what becomes of its message, commit together or not at all. */
export const transactionalCases: readonly ConformanceCase[] = [
  {
    name: "the handler's effect and the settle are one transaction of the library",
    rule: "within",
    async run(context) {
      const { add, seen } = await openEffects(context)
      const { queue, drain, names } = await openQueueWorker(context, (one) => one.handler(({ payload }, { tx }) => add(context.driver, tx, payload), { transactional }), { concurrency: 1 })
      await queue.sendBatch(numbered(3))
      await drain()
      equal(await seen(), [0, 1, 2], "effects")
      equal((await queue.metrics()).length, 0, "left in the queue")
      equal(names(), ["start", "done", "start", "done", "start", "done", "stopped"], "told")
    },
  },
  {
    name: "nobody sees the effect or the settle before both are committed",
    rule: "within",
    needs: ["concurrent"],
    async run(context) {
      const { add, seen } = await openEffects(context)
      const { queue, name } = await openQueue(context)
      const { driver } = await context.connect()
      const work = (await openClient(context, { listen: false }, driver)).queue(name)
      const looks: unknown[] = []
      const worker = await work.work(async ({ payload }, { tx }) => {
        await add(driver, tx, payload)
        looks.push(await seen(), (await queue.metrics()).length, await queue.read())
      }, { transactional, concurrency: 1, maintenance: false, pollInterval: "20ms" })
      context.after(() => worker.stop({ timeout: 0 }))
      const done = Promise.withResolvers<unknown>()
      worker.on("done", done.resolve)
      await queue.send(7)
      await done.promise
      equal(looks, [[], 1, null], "effects, messages and a read, seen from elsewhere in the handler")
      equal([await seen(), (await queue.metrics()).length], [[7], 0], "effects and messages afterwards")
    },
  },
  {
    name: "a handler that throws: its effect never was, the attempt is charged, the error kept",
    rule: "within",
    async run(context) {
      const { add, seen } = await openEffects(context)
      const { client, queue, drain, names } = await openQueueWorker(context, (one) => one.handler(async ({ payload }, { tx }) => {
        await add(context.driver, tx, payload)
        throw new Error("after the effect")
      }, { transactional }))
      const id = await queue.send(1)
      await drain()
      equal(await seen(), [], "effects")
      equal(await whereabouts(client, id), ["delayed", 1, ["after the effect"]], "where the message is")
      equal(names(), ["start", "retry", "stopped"], "told")
    },
  },
  ...ways.flatMap(({ name, options, make, told, where }) => [false, true].map((thrown): ConformanceCase => ({
    name: `outcome.${name}, ${thrown ? "thrown: the effect never was" : "returned: the effect stays"}`,
    rule: "within",
    async run(context) {
      const { add, seen } = await openEffects(context)
      const { client, queue, drain, names } = await openQueueWorker(context, (one) => one.handler(async ({ payload }, { tx }) => {
        await add(context.driver, tx, payload)
        if (thrown) throw make()
        return make()
      }, { transactional }), { queue: options })
      const id = await queue.send(1)
      await drain()
      equal(names(), ["start", told, "stopped"], "told")
      equal(await whereabouts(client, id), where, "where the message is")
      equal(await seen(), thrown ? [] : [1], "effects")
    },
  }))),
  {
    name: "a statement that fails, and whose error the handler swallows: nothing of it commits, and the message is retried",
    rule: "commit-or-reject",
    async run(context) {
      const { add, seen, table } = await openEffects(context, "check (n < 100)")
      const { client, queue, drain, names } = await openQueueWorker(context, (one) => one.handler(async ({ payload }, { tx }) => {
        await add(context.driver, tx, payload)
        await add(context.driver, tx, 100).catch(() => undefined)
      }, { transactional }))
      const id = await queue.send(1)
      await drain()
      equal(await seen(), [], `effects in ${table}`)
      equal((await whereabouts(client, id)).slice(0, 2), ["delayed", 1], "where the message is")
      equal(names(), ["start", "retry", "stopped"], "told")
    },
  },
  {
    name: "a commit that fails: the effect never was, the message is retried, and the error says why",
    rule: "commit-or-reject",
    async run(context) {
      const { add, seen } = await openEffects(context, "unique deferrable initially deferred")
      const { client, queue, drain, names } = await openQueueWorker(context, (one) => one.handler(async ({ payload }, { tx }) => {
        await add(context.driver, tx, payload)
        await add(context.driver, tx, payload)
      }, { transactional }))
      const id = await queue.send(1)
      await drain()
      equal(await seen(), [], "effects")
      const kept = await client.admin.messages.get(id)
      equal([kept?.state, kept?.attempt], ["delayed", 1], "where the message is")
      ok(JSON.stringify(kept?.errors).includes("unique"), `the error kept: ${JSON.stringify(kept?.errors)}`)
      equal(names(), ["start", "retry", "stopped"], "told")
    },
  },
  {
    name: "a savepoint of the handler's own: what is undone in it is undone alone",
    rule: "savepoint",
    async run(context) {
      const { add, seen } = await openEffects(context, "check (n < 100)")
      for (const batch of [1, 5]) {
        const { queue, drain, told } = await openQueueWorker(context, (one) => one.handler(async ({ payload }, { tx }) => {
          await add(context.driver, tx, payload)
          await rejects(inOwnSavepoint(context.driver, tx, (inner) => add(context.driver, inner, 100)), "the failing savepoint")
          await inOwnSavepoint(context.driver, tx, (inner) => add(context.driver, inner, (payload as number) + 10))
        }, { transactional, batch }))
        await queue.sendBatch([{ payload: batch }, { payload: batch + 1 }])
        await drain()
        equal([told("done").length, told("error")], [2, []], "done, and errors")
      }
      equal(await seen(), [1, 2, 5, 6, 11, 12, 15, 16], "effects")
    },
  },
  {
    name: "what a handler sends in its transaction arrives when that commits, and never if it fails",
    rule: "within",
    async run(context) {
      const next = await openQueue(context)
      const { queue, drain } = await openQueueWorker(context, (one) => one.handler(async ({ payload }, { tx }) => {
        await next.queue.send(payload, { tx })
        if (payload === 1) throw new Error("after the send")
      }, { transactional }), { concurrency: 1 })
      await queue.sendBatch(numbered(3))
      await drain()
      equal(payloads(await next.queue.readBatch({ limit: 9 })), [0, 2], "sent on")
    },
  },
  {
    name: "a transaction that breaks before its message is locked: the message goes back uncharged, and its handler was not called",
    rule: "within",
    async run(context) {
      const { queue, name } = await openQueue(context)
      const driver = borrowed(context.driver)
      const within: typeof driver.within = (tx) => ({
        query: (text, ...values) => (text.includes(".try_lock(") ? Promise.reject(new Error("the connection is lost")) : driver.within(tx).query(text, ...values)),
      })
      const breaking = createClient({ ...driver, within }, { schema, listen: false })
      const { worker, tells, told } = openWorker(context, breaking, [breaking.queue(name).handler(() => undefined, { transactional })])
      await worker.start()
      const id = await queue.send("x")
      equal((await tells("released")).message.id, id, "released")
      await inTime(worker.stop(), "stop()")
      equal(told("start"), [], "handlers begun")
      equal((await mustRead(queue)).attempt, 1, "the next delivery")
    },
  },
]
