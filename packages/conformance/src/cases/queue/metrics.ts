import { equal, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { midnight, mustPark, mustRead, openClient, openQueue, stopClock } from "./open-queue.ts"

/** Counts and ages. */
export const metricsCases: readonly ConformanceCase[] = [
  {
    name: "metrics of an empty queue: zeros, and no ages",
    rule: "core",
    async run(context) {
      const { queue, name } = await openQueue(context)
      await stopClock(context, 0)
      equal(await queue.metrics(), {
        name, length: 0, visible: 0, inFlight: 0, delayed: 0, oldestAge: null, newestAge: null, total: 0,
        scrapedAt: new Date(midnight),
      }, "metrics")
    },
  },
  {
    name: "metrics count every state; a lease that ran out counts as visible again",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
      await queue.sendBatch([{ payload: 5 }, { payload: 6 }], { delay: "1h" })
      await queue.readBatch({ limit: 3, lease: "30s" })
      const { length, visible, inFlight, delayed } = await queue.metrics()
      equal({ length, visible, inFlight, delayed }, { length: 6, visible: 1, inFlight: 3, delayed: 2 }, "at once")
      await stopClock(context, 30)
      const later = await queue.metrics()
      equal([later.visible, later.inFlight, later.delayed], [4, 0, 2], "after the lease: visible, in flight, delayed")
    },
  },
  {
    name: "a message that was retried with a delay is delayed, a released one visible",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
      await queue.retry(await mustRead(queue), { delay: "1h" })
      await queue.release(await mustRead(queue))
      const { visible, inFlight, delayed } = await queue.metrics()
      equal({ visible, inFlight, delayed }, { visible: 1, inFlight: 0, delayed: 1 }, "states")
    },
  },
  {
    name: "a parked message counts in length and in no other number",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const id = await queue.send("parked")
      await mustPark(context, queue, id)
      const { length, visible, inFlight, delayed } = await queue.metrics()
      equal({ length, visible, inFlight, delayed }, { length: 1, visible: 0, inFlight: 0, delayed: 0 }, "states")
    },
  },
  {
    name: "ages are milliseconds since the first and the last send, whatever was delayed",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.send("first", { delay: "1h" })
      await stopClock(context, 10)
      await queue.send("second")
      await stopClock(context, 25)
      const { oldestAge, newestAge, scrapedAt } = await queue.metrics()
      equal([oldestAge, newestAge], [25_000, 15_000], "ages")
      equal(scrapedAt, new Date(midnight + 25_000), "scrapedAt")
    },
  },
  {
    name: "total counts what was deleted, archived, popped and purged, and each queue counts its own",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const other = await openQueue(context)
      await queue.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
      await other.queue.send("not counted")
      await queue.delete(await mustRead(queue))
      await queue.archive(await mustRead(queue))
      await queue.pop()
      equal(await queue.purge(), 1, "purged")
      const { length, total } = await queue.metrics()
      equal({ length, total }, { length: 0, total: 4 }, "of the queue")
      equal((await other.queue.metrics()).total, 1, "of the other queue")
    },
  },
  {
    name: "reading, releasing and retrying sends nothing",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context, { backoff: null })
      await queue.send("x")
      await queue.release(await mustRead(queue))
      await queue.retry(await mustRead(queue))
      await mustRead(queue)
      equal((await queue.metrics()).total, 1, "total")
    },
  },
  {
    name: "metricsAll lists every queue by name, with the same numbers",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      await client.admin.createQueue(`${name}.b`)
      await queue.send("x")
      await stopClock(context, 0)
      const all = await client.admin.metricsAll()
      equal(all.find((one) => one.name === name), await queue.metrics(), "the queue's own")
      equal(all.map((one) => one.name), all.map((one) => one.name).toSorted(), "in order of name")
      ok(all.some((one) => one.name === `${name}.b` && one.length === 0), "an empty queue is listed too")
    },
  },
  {
    name: "metricsAll never fails because queues are dropped meanwhile",
    rule: "core",
    needs: ["concurrent"],
    async run(context) {
      const { client, name } = await openQueue(context)
      const elsewhere = await openClient(context, {}, (await context.connect()).driver)
      for (let n = 0; n < 10; n++) await client.admin.createQueue(`${name}.${n}`)
      const drops = (async () => {
        for (let n = 0; n < 10; n++) await elsewhere.admin.dropQueue(`${name}.${n}`)
      })()
      for (let n = 0; n < 10; n++) ok((await client.admin.metricsAll()).some((one) => one.name === name), "the one that stays")
      await drops
      ok(!(await client.admin.metricsAll()).some((one) => one.name.startsWith(`${name}.`)), "dropped ones are not listed")
    },
  },
]
