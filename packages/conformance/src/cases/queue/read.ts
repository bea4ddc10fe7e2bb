import { equal, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { ids, midnight, mustPark, mustRead, openQueue, payloads, refuses, stopClock } from "./open-queue.ts"

/** Reading, and the order of it. */
export const readCases: readonly ConformanceCase[] = [
  {
    // Departs from seeds 1.5 (fetch_all and fetch_one) and 6: one is null, many are [].
    name: "an empty queue: read is null, readBatch is []",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      equal(await queue.read(), null, "read")
      equal(await queue.readBatch({ limit: 3 }), [], "readBatch")
    },
  },
  {
    name: "readBatch gives up to limit messages, oldest first, and one without a limit",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const sent = await queue.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
      equal(ids(await queue.readBatch()), sent.slice(0, 1), "no limit")
      equal(ids(await queue.readBatch({ limit: 2 })), sent.slice(1, 3), "limit 2 of 3")
      equal(ids(await queue.readBatch({ limit: 3 })), sent.slice(3), "limit 3 of 1")
    },
  },
  {
    name: "a leased message is nobody else's until its lease runs out; then it comes back by itself",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      const id = await queue.send("x")
      equal((await mustRead(queue, { lease: "2s" })).attempt, 1, "the first")
      await stopClock(context, 1.5)
      equal(await queue.read(), null, "after 1.5 s")
      await stopClock(context, 2)
      const again = await mustRead(queue)
      equal([again.id, again.attempt], [id, 2], "after 2 s: message and attempt")
    },
  },
  {
    name: "the lease is the queue's unless the reader says otherwise",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context, { lease: "7s" })
      await stopClock(context, 0)
      await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
      equal((await mustRead(queue)).visibleAt, new Date(midnight + 7_000), "the queue's")
      equal((await mustRead(queue, { lease: "1d" })).visibleAt, new Date(midnight + 86_400_000), "the reader's")
    },
  },
  {
    name: "a lease of 0: readable again at once",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const id = await queue.send("x")
      const first = await mustRead(queue, { lease: 0 })
      const second = await mustRead(queue, { lease: 0 })
      equal([first.id, second.id, second.attempt], [id, id, 2], "read twice")
      ok(first.lease !== second.lease, "each read has a lease of its own")
    },
  },
  {
    name: "lower priority first, whatever was sent first",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      for (const priority of [3, 1, 0, 2, 0, 3]) await queue.send(priority, { priority })
      equal(payloads(await queue.readBatch({ limit: 9 })), [0, 0, 1, 2, 3, 3], "priorities")
    },
  },
  {
    name: "a ready message of a later level goes before a delayed one of an earlier level",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("urgent, later", { priority: 0, delay: "1h" })
      await queue.send("now", { priority: 3 })
      equal(payloads(await queue.readBatch({ limit: 9 })), ["now"], "read")
    },
  },
  {
    name: "within a level first ready, first served: mixed delays",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.sendBatch([
        { payload: "3 s", delay: "3s" }, { payload: "now" }, { payload: "1 s", delay: "1s" },
        { payload: "2 s", at: new Date(midnight + 2_000) }, { payload: "also 1 s", delay: "1s" },
      ])
      await stopClock(context, 2)
      await queue.send("sent at 2 s")
      await stopClock(context, 10)
      equal(payloads(await queue.readBatch({ limit: 9 })), ["now", "1 s", "also 1 s", "2 s", "sent at 2 s", "3 s"], "in order of readiness")
    },
  },
  {
    name: "a batch across levels keeps the order, whatever the ids",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.sendBatch(Array.from({ length: 12 }, (_, n) => ({ payload: n, priority: 3 - (n % 4) })))
      const expected = [3, 7, 11, 2, 6, 10, 1, 5, 9, 0, 4, 8]
      equal(payloads(await queue.readBatch({ limit: 7 })), expected.slice(0, 7), "the first seven")
      equal(payloads(await queue.readBatch({ limit: 7 })), expected.slice(7), "the rest")
    },
  },
  {
    name: "one level: first in, first out",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context, { levels: 1 })
      for (const n of [1, 2, 3]) await queue.send(n)
      equal([1, 2, 3], payloads([await mustRead(queue), await mustRead(queue), await mustRead(queue)]), "in order")
    },
  },
  {
    name: "sixteen levels, each used",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context, { levels: 16 })
      const levels = Array.from({ length: 16 }, (_, level) => level)
      await queue.sendBatch(levels.toReversed().map((priority) => ({ payload: priority, priority })))
      equal(payloads(await queue.readBatch({ limit: 16 })), levels, "in order of level")
    },
  },
  {
    name: "two queues do not mix, however alike their names",
    rule: "core",
    async run(context) {
      const { client, name } = await openQueue(context)
      const names = [`${name}.a`, `${name}.A`, `${name}_a`, `${name}-a`, `${name}:a`]
      for (const one of names) await client.admin.createQueue(one)
      for (const one of names) await client.queue(one).send(one)
      for (const one of names) equal(payloads(await client.queue(one).readBatch({ limit: 9 })), [one], one)
    },
  },
  {
    name: "a parked message is not read",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context)
      const id = await queue.send("parked")
      await mustPark(context, queue, id)
      equal(await queue.read(), null, "read")
      const info = await client.admin.messages.get(id)
      equal([info?.state, info?.visibleAt], ["parked", null], "state and visibleAt")
      equal((await queue.metrics()).length, 1, "counted in length")
    },
  },
  {
    name: "limits and leases that cannot be meant are refused before any SQL",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      for (const limit of [0, -1, 1.5, 10_001, "1", Number.NaN]) {
        await refuses(queue.readBatch({ limit } as never), "invalid_option", { field: "limit" }, `limit ${limit}`)
        await refuses(queue.popBatch({ limit } as never), "invalid_option", { field: "limit" }, `limit ${limit} of pop`)
      }
      for (const lease of [30, "30", "-1s", null, new Date()]) {
        await refuses(queue.read({ lease } as never), "invalid_option", { field: "lease" }, `lease ${String(lease)}`)
      }
      await refuses(queue.read({ limit: 2 } as never), "invalid_option", {}, "read() has no limit")
    },
  },
]
