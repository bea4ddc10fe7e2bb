import { equal, eventually, inTime } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { midnight, stopClock } from "../queue/open-queue.ts"
import { codeOf, fired, openQueueWorker, whereabouts } from "./open-worker.ts"

/** What others do to a queue or a message while a worker is at it. */
export const controlCases: readonly ConformanceCase[] = [
  {
    name: "a paused queue is not worked off; resumed, it is",
    rule: "core",
    async run(context) {
      const { client, queue, name, worker, tells, told } = await openQueueWorker(context, (one) => one.handler(() => undefined))
      await client.admin.pauseQueue(name)
      await queue.send("x")
      await worker.start()
      await tells("idle", 2)
      equal([told("start").length, (await queue.metrics()).visible], [0, 1], "begun and waiting while it is paused")
      await client.admin.resumeQueue(name)
      await tells("done")
    },
  },
  {
    name: "paused under a running worker: no message begins that is sent afterwards, and what runs goes on",
    rule: "core",
    async run(context) {
      const gate = Promise.withResolvers<void>()
      const { client, queue, name, worker, tells, told } = await openQueueWorker(context, (one) => one.handler(() => gate.promise))
      await queue.send("first")
      await worker.start()
      await tells("start")
      await client.admin.pauseQueue(name)
      // A claim that was under way had looked at the queue before.
      await tells("idle", told("idle").length + 2)
      await queue.send("second")
      gate.resolve()
      await tells("done")
      const looks = told("idle").length
      await tells("idle", looks + 2)
      equal([told("start").length, (await queue.metrics()).visible], [1, 1], "begun, and waiting")
    },
  },
  {
    name: "cancel of a message that waits: no worker sees it",
    rule: "core",
    async run(context) {
      const seen: unknown[] = []
      const { client, queue, drain } = await openQueueWorker(context, (one) => one.handler(({ payload }) => void seen.push(payload)))
      const [id] = await queue.sendBatch([{ payload: "cancelled" }, { payload: "wanted" }])
      equal(await queue.cancel(id!), "cancelled", "cancel()")
      equal(await whereabouts(client, id!), ["gone"], "where it is at once")
      await drain()
      equal(seen, ["wanted"], "handled")
      equal(await queue.cancel(id!), null, "cancel() of what is gone")
    },
  },
  {
    name: "cancel of a message that is being handled: the beat brings it, the signal fires, and it is gone",
    rule: "core",
    async run(context) {
      await stopClock(context, 0) // no lease ends, however late a beat comes
      const reason = Promise.withResolvers<unknown>()
      const { client, queue, worker, tells, names } = await openQueueWorker(context, (one) => one.handler(async (_message, { signal }) => {
        reason.resolve(await fired(signal))
      }, { lease: "300ms" }))
      const id = await queue.send("x")
      await worker.start()
      await tells("start")
      equal(await queue.cancel(id), "requested", "cancel()")
      equal(codeOf(await inTime(reason.promise, "the signal did not fire")), "message_cancelled", "the signal's reason")
      await tells("cancelled")
      equal(names(), ["start", "cancelled"], "told")
      equal(await whereabouts(client, id), ["gone"], "where it is")
    },
  },
  {
    name: "a cancelled message whose handler fails before it hears of it is gone, too",
    rule: "core",
    async run(context) {
      const gate = Promise.withResolvers<void>()
      const { client, queue, worker, tells } = await openQueueWorker(context, (one) => one.handler(async () => {
        await gate.promise
        throw new Error("failed")
      }), { queue: { lease: "1h" } })
      const id = await queue.send("x")
      await worker.start()
      await tells("start")
      equal(await queue.cancel(id), "requested", "cancel()")
      gate.resolve()
      await tells("cancelled")
      equal(await whereabouts(client, id), ["gone"], "where it is")
    },
  },
  {
    name: "a lease that somebody took away: the settle is refused and told, and the message goes on",
    rule: "core",
    async run(context) {
      const gate = Promise.withResolvers<void>()
      const { client, queue, name, worker, tells, names } = await openQueueWorker(context, (one) => one.handler(async ({ attempt }) => {
        if (attempt === 1) await gate.promise
      }), { concurrency: 1, queue: { lease: "1h" } })
      const id = await queue.send("x")
      await worker.start()
      await tells("start")
      await client.admin.messages.setVt(name, id, 0)
      gate.resolve()
      await tells("done")
      await tells("lost")
      equal(names().toSorted(), ["done", "lost", "start", "start"], "told")
    },
  },
  {
    name: "a lease that somebody took away: the beat brings it, and the signal fires",
    rule: "core",
    async run(context) {
      await stopClock(context, 0) // no lease ends, however late a beat comes
      const reason = Promise.withResolvers<unknown>()
      const { client, queue, name, worker, tells, names } = await openQueueWorker(context, (one) => one.handler(async (_message, { signal }) => {
        reason.resolve(await fired(signal))
      }, { lease: "300ms" }))
      const id = await queue.send("x")
      await worker.start()
      await tells("start")
      await client.admin.messages.setVt(name, id, "1h")
      equal(codeOf(await inTime(reason.promise, "the signal did not fire")), "stale_lease", "the signal's reason")
      await tells("lost")
      equal(names(), ["start", "lost"], "told")
      equal(await whereabouts(client, id), ["delayed", 1, []], "where it is")
    },
  },
  {
    name: "a handler longer than its lease keeps the message by the beat",
    rule: "core",
    async run(context) {
      await stopClock(context, 0)
      const gate = Promise.withResolvers<void>()
      const { client, queue, worker, tells, names } = await openQueueWorker(context, (one) => one.handler(() => gate.promise, { lease: "600ms" }), { concurrency: 1 })
      const id = await queue.send("x")
      const end = async (): Promise<number> => (await client.admin.messages.get(id))!.visibleAt!.getTime() - midnight
      await worker.start()
      await tells("start")
      for (const [now, expected] of [[0.5, 1100], [1, 1600], [1.5, 2100]] as const) {
        await stopClock(context, now)
        equal(await queue.read(), null, `read at ${now} s`)
        await eventually(end, expected, `the end of the lease, ${now} s after the claim`)
      }
      gate.resolve()
      await tells("done")
      equal(names(), ["start", "done"], "told")
    },
  },
  {
    name: "a message claimed ahead that somebody took meanwhile is not handled",
    rule: "core",
    async run(context) {
      await stopClock(context, 0) // no lease ends, however late a beat comes
      const seen: unknown[] = []
      const { client, queue, name, worker, tells } = await openQueueWorker(context, (one) => one.handler(async ({ payload }, { signal }) => {
        seen.push(payload)
        await fired(signal)
      }, { lease: "300ms" }), { concurrency: 1, prefetch: 3 })
      const [first, second] = await queue.sendBatch([{ payload: "first" }, { payload: "taken" }])
      await worker.start()
      await eventually(async () => (await queue.metrics()).inFlight, 2, "claimed")
      await client.admin.messages.setVt(name, second!, "1h")
      // The beat that brings this one brings the other, too.
      await queue.cancel(first!)
      await tells("lost")
      equal(seen, ["first"], "handled")
      equal(await whereabouts(client, second!), ["delayed", 1, []], "where the other one is")
    },
  },
]
