import type { BatchItem, PayloadTooLargeError } from "@sluice/core"
import { equal, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { ids, mustRead, openQueue, payloads, refuses, stopClock } from "./open-queue.ts"

/** Many messages in one statement. */
export const sendBatchCases: readonly ConformanceCase[] = [
  {
    name: "sendBatch returns ids in the order of the items, and they are read in that order",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const items = Array.from({ length: 200 }, (_, n) => ({ payload: { n } }))
      const sent = await queue.sendBatch(items)
      const read = await queue.readBatch({ limit: 200 })
      equal(ids(read), sent, "ids")
      equal(payloads(read), payloads(items), "payloads")
    },
  },
  {
    // Departs from seeds 1.5 (test_enqueue_empty_messages_error), where an empty batch is an error.
    name: "an empty batch is [], also on an unknown queue: no SQL runs",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      equal(await queue.sendBatch([]), [], "an empty batch")
      equal(await client.queue(`${name}.nowhere`).sendBatch([]), [], "an empty batch for nowhere")
    },
  },
  {
    name: "an item's own options come before those of the batch",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const items: BatchItem<unknown>[] = [
        { payload: "own", priority: 0, headers: { own: true } },
        { payload: "of the batch" },
        { payload: "no headers", headers: {} },
      ]
      await queue.sendBatch(items, { priority: 2, headers: { batch: 1 } })
      const read = await queue.readBatch({ limit: 3 })
      equal(read.map(({ payload, priority, headers }) => ({ payload, priority, headers })), [
        { payload: "own", priority: 0, headers: { own: true } },
        { payload: "of the batch", priority: 2, headers: { batch: 1 } },
        { payload: "no headers", priority: 2, headers: {} },
      ], "messages")
    },
  },
  {
    name: "delay and at of an item and of the batch",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      const items = [
        { payload: "batch" },
        { payload: "sooner", delay: "5s" as const },
        { payload: "now", delay: 0 as const },
        { payload: "past", at: new Date(0) },
      ]
      await queue.sendBatch(items, { delay: "10s" })
      equal(payloads(await queue.readBatch({ limit: 9 })), ["now", "past"], "at once")
      await stopClock(context, 5)
      equal(payloads(await queue.readBatch({ limit: 9 })), ["sooner"], "after 5 s")
      await stopClock(context, 10)
      equal(payloads(await queue.readBatch({ limit: 9 })), ["batch"], "after 10 s")
    },
  },
  {
    name: "at of the batch holds for every item that has no time of its own",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.sendBatch([{ payload: 1 }, { payload: 2, delay: 0 }, { payload: 3 }], { at: new Date("2030-01-01T00:01:00Z") })
      equal(payloads(await queue.popBatch({ limit: 9 })), [2], "at once")
      await stopClock(context, 60)
      equal(payloads(await queue.readBatch({ limit: 9 })), [1, 3], "at that time, in order")
    },
  },
  {
    name: "one bad item and nothing is sent: the error names its index and path",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const bad = queue.sendBatch([{ payload: 1 }, { payload: { list: [1, Number.NaN] } }, { payload: 3 }])
      await refuses(bad, "payload_invalid", { index: 1, path: "payload.list[1]" }, "NaN in the second item")
      equal((await queue.metrics()).total, 0, "ever sent")
    },
  },
  {
    name: "one item of an impossible priority and nothing is sent: the error names the item",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context, { levels: 2 })
      const item = queue.sendBatch([{ payload: 1 }, { payload: 2, priority: 1 }, { payload: 3, priority: 2 }])
      await refuses(item, "invalid_option", { field: "items[2].priority", value: 2 }, "in an item")
      await refuses(queue.sendBatch([{ payload: 1 }], { priority: 3 }), "invalid_option", { field: "priority", value: 3 }, "of the batch")
      equal((await queue.metrics()).length, 0, "messages")
    },
  },
  {
    name: "a batch of null, false, 0 and \"\" keeps every item apart",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const values = [null, false, 0, "", [], {}, [null], "null"]
      await queue.sendBatch(values.map((payload) => ({ payload })))
      equal(payloads(await queue.readBatch({ limit: 20 })), values, "payloads")
    },
  },
  {
    name: "items that are no items are refused before any SQL",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await refuses(queue.sendBatch({} as never), "invalid_option", { field: "items" }, "an object for an array")
      await refuses(queue.sendBatch(["x"] as never), "invalid_option", {}, "a bare payload for an item")
      await refuses(queue.sendBatch([{ payload: 1, dealy: "1s" }] as never), "invalid_option", {}, "a misspelt option")
      await refuses(queue.sendBatch([{ priority: 1 }] as never), "payload_invalid", { index: 0 }, "an item without a payload")
      equal((await queue.metrics()).length, 0, "messages")
    },
  },
  {
    name: "a batch above 64 MiB is refused with both sizes",
    rule: "core",
    timeout: 30_000,
    async run(context) {
      const { queue } = await openQueue(context)
      const payload = "x".repeat(8 * 1024 * 1024 - 2)
      const items = Array.from({ length: 8 }, () => ({ payload }))
      const limit = 64 * 1024 * 1024
      const error = await refuses(queue.sendBatch(items), "payload_too_large", { limit }, "64 MiB and the commas")
      const { actual } = error as PayloadTooLargeError
      ok(actual > limit && actual < limit + 100, `the size that it has: payloads, commas and brackets, received ${actual}`)
      equal((await queue.metrics()).total, 0, "ever sent")
    },
  },
  {
    name: "a batch of one, and a batch after a batch",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const first = await queue.sendBatch([{ payload: "a" }])
      const second = await queue.sendBatch([{ payload: "b" }, { payload: "c" }])
      equal([(await mustRead(queue)).id, (await mustRead(queue)).id, (await mustRead(queue)).id], [...first, ...second], "in order")
    },
  },
]
