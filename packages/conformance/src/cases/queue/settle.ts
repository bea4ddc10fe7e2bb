import { equal } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { ids, messageTable, mustRead, openQueue, payloads, refuses } from "./open-queue.ts"

const nowhere = { id: "9223372036854775807", lease: "1" }

/** delete, archive and purge. */
export const settleCases: readonly ConformanceCase[] = [
  {
    name: "delete: the message is gone, the others stay",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
      await queue.delete(await mustRead(queue))
      equal(payloads(await queue.readBatch({ limit: 9 })), [2], "what is left")
    },
  },
  {
    // Departs from seed 002, where the second delete returns false: a settle that settles nothing is an error.
    name: "delete twice: the second time the lease is stale",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      const message = await mustRead(queue)
      await queue.delete(message)
      await refuses(queue.delete(message), "stale_lease", { queue: queue.name, id: message.id, lease: message.lease }, "again")
    },
  },
  {
    name: "archive keeps all of the message, and nobody reads it again",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const id = await queue.send({ n: 1 }, { headers: { h: 2 }, priority: 2 })
      const message = await mustRead(queue, { lease: 0 })
      await queue.archive(message)
      equal(await queue.read(), null, "read")
      const kept = await client.admin.archive.get(id)
      const { queue: from, outcome, payload, headers, priority, attempt, errors, enqueuedAt } = kept ?? {}
      equal(
        { from, outcome, payload, headers, priority, attempt, errors, enqueuedAt },
        { from: name, outcome: "done", payload: { n: 1 }, headers: { h: 2 }, priority: 2, attempt: 1, errors: [], enqueuedAt: message.enqueuedAt },
        "in the archive",
      )
    },
  },
  {
    name: "archive twice: the second time the lease is stale, and the archive has one",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      await queue.send("x")
      const message = await mustRead(queue)
      await queue.archive(message)
      await refuses(queue.archive(message), "stale_lease", { id: message.id }, "again")
      await refuses(queue.delete(message), "stale_lease", { id: message.id }, "delete after archive")
      equal(await client.admin.archive.count({ queue: name }), 1, "archived")
    },
  },
  {
    // Departs from seeds 1.5 and 2.5 (false and []): an id that is no message's is refused like a stale lease.
    name: "an id that is no message's is refused, and others are untouched",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      await refuses(queue.delete(nowhere), "stale_lease", nowhere, "delete")
      await refuses(queue.archive(nowhere), "stale_lease", nowhere, "archive")
      await refuses(queue.setVt(nowhere, "1s"), "stale_lease", nowhere, "setVt")
      equal((await queue.metrics()).length, 1, "messages")
    },
  },
  {
    // Departs from seeds 2.5: a negative id is refused before any SQL, where pgmq finds no such message.
    name: "what is no leased message is refused before any SQL",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const bad = [
        { id: "-1", lease: "1" }, { id: "x", lease: "1" }, { id: 1, lease: "1" }, { id: "1" }, { lease: "1" }, "1", null,
        { id: "1", lease: "9223372036854775808" }, { id: "1", lease: null }, { id: "1; drop table x", lease: "1" },
      ]
      for (const message of bad as never[]) {
        await refuses(queue.delete(message), "invalid_option", {}, `delete(${JSON.stringify(message)})`)
        await refuses(queue.archiveBatch([message]), "invalid_option", {}, `archiveBatch([${JSON.stringify(message)}])`)
      }
      await refuses(queue.deleteBatch({} as never), "invalid_option", { field: "messages" }, "an object for an array")
    },
  },
  {
    // Departs from seeds 1.5 (positional booleans): a batch answers with ids.
    name: "deleteBatch settles what it can and returns the rest as refused",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.sendBatch([1, 2, 3].map((payload) => ({ payload })))
      const [a, b, c] = (await queue.readBatch({ limit: 3 })) as [never, never, never]
      await queue.release(b)
      const result = await queue.deleteBatch([c, nowhere, a, b])
      equal(result, { settled: ids([a, c]), refused: [...ids([b]), nowhere.id] }, "result, in order of id")
      equal(payloads(await queue.readBatch({ limit: 9 })), [2], "what is left")
    },
  },
  {
    name: "archiveBatch settles what it can and returns the rest as refused",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      await queue.sendBatch([1, 2, 3].map((payload) => ({ payload })))
      const [a, b, c] = (await queue.readBatch({ limit: 3 })) as [never, never, never]
      await queue.delete(a)
      equal(await queue.archiveBatch([a, b, c]), { settled: ids([b, c]), refused: ids([a]) }, "result")
      const kept = await client.admin.archive.list({ queue: name })
      equal(kept.items.map((one) => [one.payload, one.outcome]), [[2, "done"], [3, "done"]], "archived")
    },
  },
  {
    name: "an empty batch of settles: nothing settled, nothing refused",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      equal(await queue.deleteBatch([]), { settled: [], refused: [] }, "deleteBatch")
      equal(await queue.archiveBatch([]), { settled: [], refused: [] }, "archiveBatch")
    },
  },
  {
    name: "a message given twice is settled once",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      await queue.send("x")
      const message = await mustRead(queue)
      equal(await queue.archiveBatch([message, message]), { settled: [message.id], refused: [] }, "result")
      equal(await client.admin.archive.count({ queue: name }), 1, "archived")
    },
  },
  {
    name: "ids of different length are matched with their own leases",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const sent = await queue.sendBatch([1, 2, 3].map((payload) => ({ payload })))
      const table = await messageTable(context, queue)
      for (const [i, id] of ["999999999999998", "9999999999999999", "10000000000000000"].entries()) {
        await context.exec(`update ${table} set id = $1::text::bigint where id = $2::text::bigint`, [id, sent[i]!])
      }
      const held = [await mustRead(queue), await mustRead(queue), await mustRead(queue)]
      const { settled, refused } = await queue.deleteBatch(held.toReversed())
      equal([settled.length, refused], [3, []], "settled and refused")
    },
  },
  {
    name: "a thousand messages settle in one batch",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const sent = await queue.sendBatch(Array.from({ length: 1_000 }, (_, payload) => ({ payload })))
      const held = await queue.readBatch({ limit: 1_000 })
      equal(await queue.deleteBatch(held.toReversed()), { settled: sent, refused: [] }, "result")
      equal((await queue.metrics()).length, 0, "messages left")
    },
  },
  {
    // Departs from seeds 1.5 (pgqrs purges the archive too).
    name: "purge returns how many, takes leased and delayed ones too, and leaves the archive",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      equal(await queue.purge(), 0, "purge of an empty queue")
      await queue.sendBatch([{ payload: 1 }, { payload: 2 }, { payload: 3 }, { payload: 4, delay: "1h" }])
      await queue.archive(await mustRead(queue))
      const held = await mustRead(queue)
      equal(await client.admin.purge(name), 3, "visible, leased and delayed")
      equal(await client.admin.archive.count({ queue: name }), 1, "archived")
      await refuses(queue.delete(held), "stale_lease", { id: held.id }, "a settle afterwards")
    },
  },
  {
    name: "purge leaves other queues alone",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const other = await openQueue(context)
      await queue.send(1)
      await other.queue.send(2)
      equal(await queue.purge(), 1, "purged")
      equal(payloads([await mustRead(other.queue)]), [2], "of the other queue")
    },
  },
]
