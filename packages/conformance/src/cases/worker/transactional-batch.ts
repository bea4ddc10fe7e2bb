import { outcome } from "@sluice/core"
import { equal } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { openEffects } from "./effects.ts"
import { numbered, openQueueWorker, whereabouts } from "./open-worker.ts"

const transactional = true

/** Many messages in one transaction. */
export const transactionalBatchCases: readonly ConformanceCase[] = [
  {
    name: "batch: one fails in its savepoint, the others stay",
    rule: "savepoint",
    async run(context) {
      const { add, seen } = await openEffects(context)
      const { client, queue, drain, told } = await openQueueWorker(context, (one) => one.handler(async ({ payload }, { tx }) => {
        await add(context.driver, tx, payload)
        if (payload === 1) throw new Error("not this one")
      }, { transactional, batch: 4 }), { concurrency: 1 })
      const sent = await queue.sendBatch(numbered(4))
      await drain()
      equal(await seen(), [0, 2, 3], "effects")
      equal(await whereabouts(client, sent[1]!), ["delayed", 1, ["not this one"]], "where the one is")
      equal([told("done").length, told("retry").length, (await queue.metrics()).length], [3, 1, 1], "done, retried and left")
    },
  },
  {
    name: "batch: a failing statement spoils its own message alone, even if its error is swallowed",
    rule: "savepoint",
    async run(context) {
      const { add, seen } = await openEffects(context, "check (n < 100)")
      const { client, queue, drain } = await openQueueWorker(context, (one) => one.handler(async ({ payload }, { tx }) => {
        await add(context.driver, tx, payload)
        if (payload === 1) await add(context.driver, tx, 100)
        if (payload === 2) await add(context.driver, tx, 100).catch(() => undefined)
      }, { transactional, batch: 9 }), { concurrency: 1 })
      const sent = await queue.sendBatch(numbered(4))
      await drain()
      equal(await seen(), [0, 3], "effects")
      const found = []
      for (const id of sent) found.push((await whereabouts(client, id)).slice(0, 2))
      equal(found, [["gone"], ["delayed", 1], ["delayed", 1], ["gone"]], "where they are")
    },
  },
  {
    name: "batch: outcomes of each message, thrown and returned",
    rule: "savepoint",
    async run(context) {
      const { add, seen } = await openEffects(context)
      const acts = [() => outcome.snooze("1h"), () => Promise.reject(outcome.snooze("1h")), () => outcome.deadLetter("never"), () => undefined]
      const { client, queue, drain } = await openQueueWorker(context, (one) => one.handler(async ({ payload }, { tx }) => {
        await add(context.driver, tx, payload)
        return acts[payload as number]!()
      }, { transactional, batch: 9 }), { concurrency: 1 })
      const sent = await queue.sendBatch(numbered(4))
      await drain()
      equal(await seen(), [0, 2, 3], "effects")
      const found = []
      for (const id of sent) found.push(await whereabouts(client, id))
      equal(found, [["delayed", 0, []], ["delayed", 0, []], ["dead", 1, ["never"]], ["gone"]], "where they are")
    },
  },
  {
    name: "batch: a commit that fails undoes all of it, and each message is retried",
    rule: "commit-or-reject",
    async run(context) {
      const { add, seen } = await openEffects(context, "unique deferrable initially deferred")
      const { client, queue, drain, told } = await openQueueWorker(context, (one) => one.handler((_message, { tx }) => add(context.driver, tx, 7), { transactional, batch: 9 }), { concurrency: 1 })
      const sent = await queue.sendBatch(numbered(3))
      await drain()
      equal([await seen(), told("done").length, told("retry").length], [[], 0, 3], "effects, done and retried")
      for (const id of sent) equal((await whereabouts(client, id)).slice(0, 2), ["delayed", 1], "where it is")
    },
  },
  {
    name: "batchHandler: one transaction for all, with an answer for each",
    rule: "within",
    async run(context) {
      const { add, seen } = await openEffects(context)
      const { client, queue, drain } = await openQueueWorker(context, (one) => one.batchHandler(async (messages, { tx }) => {
        for (const { payload } of messages) await add(context.driver, tx, payload)
        return [undefined, new Error("not this one"), outcome.snooze("1h")]
      }, { transactional, size: 9 }), { concurrency: 1 })
      const sent = await queue.sendBatch(numbered(3))
      await drain()
      equal(await seen(), [0, 1, 2], "effects: the transaction commits")
      const found = []
      for (const id of sent) found.push(await whereabouts(client, id))
      equal(found, [["gone"], ["delayed", 1, ["not this one"]], ["delayed", 0, []]], "where they are")
    },
  },
  {
    name: "batchHandler: what it throws undoes all of it, and each message is retried with the error",
    rule: "within",
    async run(context) {
      const { add, seen } = await openEffects(context)
      const { client, queue, drain } = await openQueueWorker(context, (one) => one.batchHandler(async (messages, { tx }) => {
        for (const { payload } of messages) await add(context.driver, tx, payload)
        throw new Error("all of them")
      }, { transactional, size: 9 }), { concurrency: 1 })
      const sent = await queue.sendBatch(numbered(3))
      await drain()
      equal(await seen(), [], "effects")
      for (const id of sent) equal(await whereabouts(client, id), ["delayed", 1, ["all of them"]], "where it is")
    },
  },
]
