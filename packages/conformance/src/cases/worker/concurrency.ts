import { outcome } from "@sluice/core"
import { equal, eventually } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { openQueue, payloads } from "../queue/open-queue.ts"
import { numbered, openQueueWorker, openWorker, whereabouts } from "./open-worker.ts"

/** Counts calls that run at once, and holds them until it is opened. */
function createTurnstile(): { pass(): Promise<void>; open(): void; inside(): number; most(): number } {
  const opened = Promise.withResolvers<void>()
  let [inside, most] = [0, 0]
  return {
    pass: async () => {
      most = Math.max(most, ++inside)
      await opened.promise
      inside--
    },
    open: () => opened.resolve(),
    inside: () => inside,
    most: () => most,
  }
}

/** How many calls run, and how many messages each has. */
export const concurrencyCases: readonly ConformanceCase[] = [
  {
    name: "as many handlers as its concurrency run at once, never more, and only as many messages are held",
    rule: "core",
    async run(context) {
      const { pass, open, inside, most } = createTurnstile()
      const { queue, worker, tells } = await openQueueWorker(context, (one) => one.handler(pass), { concurrency: 3 })
      await queue.sendBatch(numbered(9))
      await worker.start()
      await eventually(inside, 3, "handlers that run")
      equal((await queue.metrics()).inFlight, 3, "messages that it holds")
      open()
      await tells("done", 9)
      equal(most(), 3, "most handlers at once")
    },
  },
  {
    name: "a handler's own concurrency holds within that of the worker, which all its queues share",
    rule: "core",
    async run(context) {
      const [a, b] = [await openQueue(context), await openQueue(context)]
      const [ofA, ofB] = [createTurnstile(), createTurnstile()]
      let [inside, most] = [0, 0]
      const within = (pass: () => Promise<void>) => async (): Promise<void> => {
        most = Math.max(most, ++inside)
        await pass()
        inside--
      }
      await a.queue.sendBatch(numbered(6))
      await b.queue.sendBatch(numbered(6))
      const handlers = [a.client.queue(a.name).handler(within(ofA.pass), { concurrency: 1 }), a.client.queue(b.name).handler(within(ofB.pass))]
      const { worker, tells } = openWorker(context, a.client, handlers, { concurrency: 3 })
      await worker.start()
      await eventually(() => [ofA.inside(), ofB.inside()], [1, 2], "handlers that run, by queue")
      ofA.open()
      ofB.open()
      await tells("done", 12)
      equal([ofA.most(), most], [1, 3], "most at once, of the one queue and of all")
    },
  },
  {
    name: "a batch handler gets up to its size in one call, and what there is without waiting for more",
    rule: "core",
    async run(context) {
      const calls: unknown[][] = []
      const { queue, drain, told } = await openQueueWorker(context, (one) => one.batchHandler((messages) => void calls.push(payloads(messages)), { size: 4 }), { concurrency: 1 })
      await queue.sendBatch(numbered(10))
      await drain()
      equal(calls, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]], "calls")
      equal(told("done").length, 10, "done")
    },
  },
  {
    name: "a batch handler answers for each of its messages",
    rule: "core",
    async run(context) {
      const answers = [undefined, new Error("not this one"), outcome.snooze("1h"), outcome.deadLetter("no more"), outcome.cancel(), outcome.retry({ delay: "1h" })]
      const { client, queue, drain } = await openQueueWorker(context, (one) => one.batchHandler(() => answers, { size: 9 }), { concurrency: 1 })
      const sent = await queue.sendBatch(numbered(6))
      await drain()
      const found = []
      for (const id of sent) found.push(await whereabouts(client, id))
      const expected = [["gone"], ["delayed", 1, ["not this one"]], ["delayed", 0, []], ["dead", 1, ["no more"]], ["gone"], ["delayed", 1, []]]
      equal(found, expected, "where they are, with attempts and errors")
    },
  },
  {
    name: "a batch handler that throws fails all of its messages; too few answers are an error",
    rule: "core",
    async run(context) {
      const acts = [() => Promise.reject(new Error("all of them")), () => [new Error("the first"), undefined]]
      for (const [i, expected] of ["all of them", "answered 2 outcome(s) for 3 message(s)"].entries()) {
        const { client, queue, drain, told } = await openQueueWorker(context, (one) => one.batchHandler(acts[i]!, { size: 9 }))
        const sent = await queue.sendBatch(numbered(3))
        await drain()
        for (const id of sent) {
          const [where, attempt, errors] = await whereabouts(client, id)
          equal([where, attempt, errors?.[0]?.includes(expected)], ["delayed", 1, true], `where it is; errors: ${errors?.join()}`)
        }
        equal(told("retry").length, 3, "told as retry")
      }
    },
  },
]
