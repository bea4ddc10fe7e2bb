import { outcome, type QueueOptions, type StandardSchema } from "@sluice/core"
import { equal, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { openQueue } from "../queue/open-queue.ts"
import { codeOf, fired, openQueueWorker, openWorker, whereabouts } from "./open-worker.ts"

type Where = Awaited<ReturnType<typeof whereabouts>>

interface Way {
  readonly name: string
  readonly options?: QueueOptions
  readonly act: () => unknown
  readonly told: string
  readonly where: Where
}

const raise = (thrown: unknown) => (): never => {
  throw thrown
}

/** What each decision of a handler does to a message that was delivered once. */
const ways: readonly Way[] = [
  { name: "returning deletes", act: () => "anything", told: "done", where: ["gone"] },
  { name: "returning archives where the queue says so", options: { done: "archive" }, act: () => undefined, told: "done", where: ["done", 1, []] },
  { name: "a thrown error is a retry", act: raise(new Error("no")), told: "retry", where: ["delayed", 1, ["no"]] },
  { name: "a thrown string is a retry", act: raise("just no"), told: "retry", where: ["delayed", 1, ["just no"]] },
  { name: "a rejection is a retry", act: () => Promise.reject(new Error("later no")), told: "retry", where: ["delayed", 1, ["later no"]] },
  { name: "an error at the limit of attempts is dead", options: { maxAttempts: 1 }, act: raise(new Error("no")), told: "dead", where: ["dead", 1, ["no"]] },
  { name: "outcome.done, returned", act: () => outcome.done(), told: "done", where: ["gone"] },
  { name: "outcome.done, thrown", act: raise(outcome.done()), told: "done", where: ["gone"] },
  { name: "outcome.retry", act: () => outcome.retry({ delay: "1h", error: "why" }), told: "retry", where: ["delayed", 1, ["why"]] },
  { name: "outcome.retry at once, at the limit", options: { maxAttempts: 1 }, act: raise(outcome.retry({ delay: 0 })), told: "dead", where: ["dead", 1, []] },
  { name: "outcome.snooze charges nothing", act: () => outcome.snooze("1h"), told: "snooze", where: ["delayed", 0, []] },
  { name: "outcome.snooze at the limit of attempts", options: { maxAttempts: 1 }, act: raise(outcome.snooze("1h")), told: "snooze", where: ["delayed", 0, []] },
  { name: "outcome.deadLetter", act: () => outcome.deadLetter(new Error("never")), told: "dead", where: ["dead", 1, ["never"]] },
  { name: "outcome.cancel", act: raise(outcome.cancel()), told: "cancelled", where: ["gone"] },
  { name: "outcome.cancel where the queue keeps what is done", options: { done: "archive" }, act: () => outcome.cancel(), told: "cancelled", where: ["cancelled", 1, []] },
]

const refusing: StandardSchema<unknown, unknown> = { "~standard": { version: 1, vendor: "by hand", validate: () => ({ issues: [{ message: "not like this" }] }) } }

/** What becomes of a message. */
export const outcomeCases: readonly ConformanceCase[] = [
  ...ways.map(({ name, options, act, told, where }): ConformanceCase => ({
    name: `outcome: ${name}`,
    rule: "core",
    async run(context) {
      const { client, queue, drain, names } = await openQueueWorker(context, (one) => one.handler(act), { queue: options })
      const id = await queue.send({ n: 1 }, { headers: { h: 1 } })
      await drain()
      equal(names(), ["start", told, "stopped"], "told")
      equal(await whereabouts(client, id), where, "where it is, with attempts and errors")
    },
  })),
  {
    name: "each attempt's error is kept: name, message, stack, worker, attempt and when",
    rule: "core",
    async run(context) {
      const dead = await openQueue(context)
      const { client, queue, drain, told, worker } = await openQueueWorker(context, (one) => one.handler(({ attempt }) => {
        throw new RangeError(`attempt ${attempt}\0 with a NUL`)
      }), { queue: { maxAttempts: 2, backoff: null, deadLetter: dead.name }, name: context.unique("worker") })
      const id = await queue.send("x")
      await drain()
      const kept = await client.admin.messages.get(id)
      equal(kept?.queue, dead.name, "where it is")
      const expected = [1, 2].map((attempt) => ({ name: "RangeError", message: `attempt ${attempt} with a NUL`, worker: worker.name, attempt }))
      equal(kept?.errors.map(({ name, message, worker: by, attempt }) => ({ name, message, worker: by, attempt })), expected, "errors")
      ok(kept?.errors.every(({ stack, at }) => stack?.includes("RangeError") && !Number.isNaN(Date.parse(at))) ?? false, "stack and time")
      equal([told("retry").length, told("dead").length], [1, 1], "told as retry and dead")
      ok(told("dead")[0]!.error instanceof RangeError, "the event has the very error")
    },
  },
  {
    name: "onError decides by the error; where it says nothing it is a retry; what it throws is one too",
    rule: "core",
    async run(context) {
      const { client, queue, drain } = await openQueueWorker(context, (one) => one.handler(({ payload }) => {
        throw new Error(String(payload))
      }, {
        onError: (error) => {
          const { message } = error as Error
          if (message === "broken") throw new Error("onError itself")
          return message === "hopeless" ? outcome.deadLetter(error) : undefined
        },
      }))
      const sent = await queue.sendBatch(["hopeless", "again", "broken"].map((payload) => ({ payload })))
      await drain()
      const found = []
      for (const id of sent) found.push((await whereabouts(client, id)).slice(0, 2))
      equal(found, [["dead", 1], ["delayed", 1], ["delayed", 1]], "where they are")
    },
  },
  {
    name: "the wait after a failure: the handler's backoff, by attempt and error; else the queue's",
    rule: "core",
    async run(context) {
      const asked: unknown[] = []
      for (const own of [true, false]) {
        const { queue, drain, told } = await openQueueWorker(context, (one) => one.handler(() => Promise.reject(new Error("no")), {
          backoff: own ? (attempt, error) => (asked.push([attempt, (error as Error).message]), "1h") : undefined,
        }), { queue: { backoff: { kind: "fixed", base: "2h", max: "2h", jitter: 0 } } })
        const before = (await queue.sendBatch([{ payload: "x" }]), Date.now())
        await drain()
        const hours = (told("retry")[0]!.visibleAt.getTime() - before) / 3_600_000
        equal(Math.round(hours * 10) / 10, own ? 1 : 2, `hours until the next attempt, own backoff: ${own}`)
      }
      equal(asked, [[1, "no"]], "what the handler's backoff was asked")
    },
  },
  {
    name: "a handler out of time: its signal fires, the message is retried, and what it answers later is nothing",
    rule: "core",
    async run(context) {
      const reason = Promise.withResolvers<unknown>()
      const late = Promise.withResolvers<void>()
      const { client, queue, drain, names } = await openQueueWorker(context, (one) => one.handler(async (_message, { signal }) => {
        reason.resolve(await fired(signal))
        await late.promise
      }, { timeout: "40ms" }))
      const id = await queue.send("x")
      await drain()
      equal(codeOf(await reason.promise), "handler_timeout", "the signal's reason")
      late.resolve()
      equal(names(), ["start", "retry", "stopped"], "told")
      const [where, attempt, errors] = await whereabouts(client, id)
      equal([where, attempt, errors?.[0]?.includes("timeout")], ["delayed", 1, true], "where it is")
    },
  },
  {
    name: "a payload that the schema refuses reaches no handler: dead, or another attempt, as the queue says",
    rule: "core",
    async run(context) {
      for (const [onInvalid, expected] of [["deadLetter", "dead"], ["raise", "delayed"]] as const) {
        const { client, queue, name } = await openQueue(context, { onInvalid })
        const id = await queue.send("x")
        const { drain, told } = openWorker(context, client, [client.queue(name, { payload: refusing }).handler(() => undefined)])
        await drain()
        const [where, attempt, errors] = await whereabouts(client, id)
        equal([where, attempt, errors?.[0]?.includes("not like this")], [expected, 1, true], `where it is, onInvalid: ${onInvalid}`)
        equal(told("start"), [], "handlers begun")
      }
    },
  },
  {
    name: "a listener that throws is told as an error, and stops nothing; one that was taken away is not called",
    rule: "core",
    async run(context) {
      const { queue, worker, drain, told } = await openQueueWorker(context, (one) => one.handler(() => undefined))
      let calls = 0
      worker.on("start", () => {
        throw new Error("from a listener")
      })
      worker.on("start", () => void calls++)()
      await queue.send("x")
      await drain()
      equal(told("error").map(({ error }) => (error as Error).message), ["from a listener"], "told as an error")
      equal([told("done").length, calls], [1, 0], "done, and calls of the listener that was taken away")
    },
  },
]
