import { equal } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { ids, midnight, mustRead, openQueue, payloads, stopClock } from "./open-queue.ts"

/** Read and delete in one step. */
export const popCases: readonly ConformanceCase[] = [
  {
    name: "pop of an empty queue is null, popBatch is []",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      equal(await queue.pop(), null, "pop")
      equal(await queue.popBatch({ limit: 3 }), [], "popBatch")
    },
  },
  {
    name: "pop takes the first of three and leaves two",
    rule: "core",
    async run(context) {
      const { queue, name } = await openQueue(context)
      await stopClock(context, 0)
      const [id] = await queue.sendBatch([{ payload: 1, headers: { h: 1 } }, { payload: 2 }, { payload: 3 }])
      const { idempotencyKey: _, ...message } = (await queue.pop())!
      equal(message, {
        id, queue: name, payload: 1, headers: { h: 1 }, attempt: 1, priority: 1, enqueuedAt: new Date(midnight),
      }, "the message, with no lease to settle by")
      equal((await queue.metrics()).length, 2, "messages left")
      equal(payloads(await queue.readBatch({ limit: 9 })), [2, 3], "the others")
    },
  },
  {
    name: "popBatch follows priority and readiness, up to limit",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      for (const priority of [2, 0, 3, 1, 0]) await queue.send(priority, { priority })
      equal(payloads(await queue.popBatch({ limit: 3 })), [0, 0, 1], "the first three")
      equal(payloads(await queue.popBatch()), [2], "one without a limit")
      equal(payloads(await queue.popBatch({ limit: 9 })), [3], "the rest")
    },
  },
  {
    name: "pop passes by what is leased or delayed",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.sendBatch([{ payload: "leased" }, { payload: "delayed", delay: "1h" }, { payload: "free" }])
      const leased = await mustRead(queue)
      equal(payloads(await queue.popBatch({ limit: 9 })), ["free"], "popped")
      await queue.delete(leased)
      equal((await queue.metrics()).delayed, 1, "the delayed one is left")
    },
  },
  {
    name: "pop counts earlier deliveries as attempts, and the old lease is stale",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      const held = await mustRead(queue, { lease: 0 })
      const popped = await queue.pop()
      equal([popped?.id, popped?.attempt], [held.id, 2], "popped")
      equal(await queue.deleteBatch([held]), { settled: [], refused: [held.id] }, "settled afterwards")
    },
  },
  {
    name: "what was popped is in no archive",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const sent = await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
      equal(ids(await queue.popBatch({ limit: 2 })), sent, "popped")
      equal(await client.admin.archive.count({ queue: name }), 0, "archived")
      equal((await queue.metrics()).total, 2, "ever sent")
    },
  },
]
