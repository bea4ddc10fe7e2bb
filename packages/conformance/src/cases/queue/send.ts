import { equal, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { ids, messageTable, midnight, mustRead, openQueue, payloads, refuses, stopClock } from "./open-queue.ts"

/** One message at a time. */
export const sendCases: readonly ConformanceCase[] = [
  {
    name: "send, then read: the same id and payload, first attempt, leased",
    rule: "core",
    async run(context) {
      const { queue, name } = await openQueue(context)
      await stopClock(context, 0)
      const id = await queue.send({ n: 1 })
      const { lease, idempotencyKey, ...message } = await mustRead(queue)
      equal(message, {
        id, queue: name, payload: { n: 1 }, headers: {}, attempt: 1, priority: 1,
        enqueuedAt: new Date(midnight), visibleAt: new Date(midnight + 30_000),
      }, "the message")
      ok(idempotencyKey.includes(`-${id}-`), `the idempotency key names the message, received ${idempotencyKey}`)
      ok(/^\d{1,19}$/.test(lease), `the lease is a decimal string, received ${lease}`)
    },
  },
  {
    name: "ids are decimal strings, unique in the installation, in the order of sends to a queue",
    rule: "core",
    async run(context) {
      const first = await openQueue(context)
      const second = await openQueue(context)
      const sent = [await first.queue.send(1), await second.queue.send(2), await first.queue.send(3)]
      ok(sent.every((id) => typeof id === "string" && /^[1-9]\d*$/.test(id)), `ids must be decimal strings: ${sent.join()}`)
      ok(BigInt(sent[0]!) < BigInt(sent[2]!), `ids of a queue must ascend: ${sent.join()}`)
      equal(new Set(sent).size, 3, "ids must be unique")
    },
  },
  {
    name: "ids beyond 2^53 stay exact",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const id = await queue.send("a")
      const big = "9007199254740993"
      await context.exec(`update ${await messageTable(context, queue)} set id = $1::text::bigint where id = $2::text::bigint`, [big, id])
      const message = await mustRead(queue)
      equal(message.id, big, "the id of the message")
      await queue.delete(message)
      equal((await queue.metrics()).length, 0, "deleted by that id")
    },
  },
  {
    name: "a delayed message is hidden until its time has come",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      const id = await queue.send("later", { delay: "2s" })
      equal(await queue.read(), null, "at once")
      await stopClock(context, 1.999)
      equal(await queue.read(), null, "a millisecond before")
      await stopClock(context, 2)
      equal((await mustRead(queue)).id, id, "at its time")
    },
  },
  {
    name: "delay and lease combine: hidden, there, leased, there again",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.send("x", { delay: "2s" })
      equal(await queue.read(), null, "while delayed")
      await stopClock(context, 3)
      equal((await mustRead(queue, { lease: "2s" })).attempt, 1, "after the delay")
      await stopClock(context, 4)
      equal(await queue.read(), null, "while leased")
      await stopClock(context, 5)
      equal((await mustRead(queue)).attempt, 2, "when the lease ran out")
    },
  },
  {
    name: "a message sent for a time in the future waits for it, for one in the past is there at once",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      const later = await queue.send("later", { at: new Date(midnight + 60_000) })
      const past = await queue.send("past", { at: new Date(0) })
      const delayed = await queue.send("no delay", { delay: 0 })
      equal(ids(await queue.popBatch({ limit: 9 })), [past, delayed], "at once")
      await stopClock(context, 60)
      equal((await mustRead(queue)).id, later, "at its time")
    },
  },
  {
    name: "a message sent for the past stands behind those that are ready already",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.send("first")
      await stopClock(context, 1)
      await queue.send("second", { at: new Date(0) })
      equal(payloads(await queue.readBatch({ limit: 2 })), ["first", "second"], "nothing is ever ready before it was sent")
    },
  },
  {
    name: "priority: a default of 1, 0 on a queue of one level, the given one",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const single = await openQueue(context, { levels: 1 })
      await queue.send("default")
      await single.queue.send("only")
      equal((await mustRead(queue)).priority, 1, "of four levels")
      equal((await mustRead(single.queue)).priority, 0, "of one level")
      await queue.send("last", { priority: 3 })
      equal((await mustRead(queue)).priority, 3, "as given")
    },
  },
  {
    name: "a priority that the queue does not have is refused and nothing is sent",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context, { levels: 2 })
      await refuses(queue.send(1, { priority: 2 }), "invalid_option", { field: "priority", value: 2 }, "priority 2 of 2 levels")
      await refuses(queue.send(1, { priority: -1 }), "invalid_option", { value: -1 }, "priority -1")
      await refuses(queue.send(1, { priority: 0.5 }), "invalid_option", { value: 0.5 }, "priority 0.5")
      await refuses(queue.send(1, { priority: 16 }), "invalid_option", { value: 16 }, "priority 16")
      equal((await queue.metrics()).length, 0, "messages")
    },
  },
  {
    name: "headers travel beside the payload and default to {}",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const headers = { trace: "00-abc", nested: { deep: [1, null, "ß😀"] }, "ключ": true }
      await queue.send("with", { headers })
      await queue.send("without")
      const [first, second] = await queue.readBatch({ limit: 2 })
      equal([first?.headers, second?.headers], [headers, {}], "headers")
    },
  },
  {
    name: "times come from the server's clock alone",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.send("x")
      const message = await mustRead(queue, { lease: "1500ms" })
      equal(message.enqueuedAt, new Date(midnight), "enqueuedAt")
      equal(message.visibleAt, new Date(midnight + 1_500), "visibleAt")
    },
  },
  {
    name: "options of a send that cannot be meant are refused before any SQL",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const bad = [
        { delay: 10 }, { delay: "10" }, { delay: "-1s" }, { delay: "1 s" }, { delay: "99999d" }, { at: new Date(Number.NaN) },
        { at: "2030-01-01" }, { delay: "1s", at: new Date() }, { headers: [] }, { headers: null }, { priority: "1" },
        { delai: "1s" }, { groupKey: "x" },
      ]
      for (const options of bad) {
        await refuses(queue.send(1, options as never), "invalid_option", {}, `send(1, ${JSON.stringify(options)})`)
      }
      equal((await queue.metrics()).total, 0, "ever sent")
    },
  },
]
