import type { Queue } from "@sluice/core"
import { equal } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import { mustRead, openQueue, payloads, refuses, stopClock } from "./open-queue.ts"

/** Leaves some at their limit in front of four live ones, the last of which has the lowest id. */
async function sendDeadFirst(context: CaseContext, queue: Queue, dead: number): Promise<void> {
  await stopClock(context, 0)
  await queue.send("last", { delay: "20s" })
  await queue.sendBatch(Array.from({ length: dead }, () => ({ payload: "dead" })))
  await queue.readBatch({ limit: dead, lease: "1s" })
  await queue.sendBatch([{ payload: "first", delay: "2s" }, { payload: "third", delay: "4s" }, { payload: "second", delay: "3s" }])
  await stopClock(context, 30)
}

/** Departs from seeds 1.5 (test_dlq), where a message at its limit stays hidden in its queue: it leaves. */
export const deadCases: readonly ConformanceCase[] = [
  {
    name: "a message at its limit of attempts is not delivered again: it goes to the archive as dead",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context, { maxAttempts: 2 })
      const id = await queue.send("x", { headers: { h: 1 } })
      equal((await mustRead(queue, { lease: 0 })).attempt, 1, "first")
      equal((await mustRead(queue, { lease: 0 })).attempt, 2, "second")
      equal(await queue.read(), null, "third")
      const kept = await client.admin.archive.get(id)
      equal([kept?.outcome, kept?.attempt, kept?.payload, kept?.headers], ["dead", 2, "x", { h: 1 }], "in the archive")
      equal((await queue.metrics()).length, 0, "left in the queue")
    },
  },
  {
    name: "with a dead-letter queue it goes there: the same id, its history, attempts from 1",
    rule: "core",
    async run(context) {
      const dead = await openQueue(context)
      const { client, queue, name } = await openQueue(context, { maxAttempts: 1, deadLetter: dead.name })
      const id = await queue.send("x", { headers: { h: 1 } })
      await mustRead(queue, { lease: 0 })
      equal(await queue.read(), null, "second read")
      const info = await client.admin.messages.get(id)
      equal([info?.queue, info?.origin, info?.state], [dead.name, name, "visible"], "queue, origin and state")
      const message = await mustRead(dead.queue)
      equal([message.id, message.payload, message.headers, message.attempt], [id, "x", { h: 1 }, 1], "as it arrives")
      equal((await dead.queue.metrics()).total, 1, "it counts as sent there")
    },
  },
  {
    name: "retry at the limit: outcome dead, and the errors travel along",
    rule: "core",
    async run(context) {
      const dead = await openQueue(context)
      const { client, queue } = await openQueue(context, { maxAttempts: 2, deadLetter: dead.name, backoff: null })
      const id = await queue.send("x")
      equal((await queue.retry(await mustRead(queue), { error: "one" })).outcome, "retry", "first")
      const last = await mustRead(queue)
      equal(await queue.retry(last, { error: "two", delay: "1h" }), { outcome: "dead", visibleAt: null }, "second")
      const info = await client.admin.messages.get(id)
      equal([info?.queue, info?.state, info?.errors.map((one) => one.message)], [dead.name, "visible", ["one", "two"]], "message")
      await refuses(queue.delete(last), "stale_lease", { id }, "a settle afterwards")
    },
  },
  {
    name: "retry at the limit without a dead-letter queue: dead in the archive",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context, { maxAttempts: 1 })
      const id = await queue.send("x")
      equal((await queue.retry(await mustRead(queue), { error: "gone" })).outcome, "dead", "outcome")
      const kept = await client.admin.archive.get(id)
      equal([kept?.outcome, kept?.errors[0]?.message], ["dead", "gone"], "in the archive")
      equal((await queue.metrics()).length, 0, "left in the queue")
    },
  },
  {
    name: "a released message at its limit is dead for the next read",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context, { maxAttempts: 1 })
      const id = await queue.send("x")
      await queue.release(await mustRead(queue))
      equal(await queue.read(), null, "read")
      equal((await client.admin.archive.get(id))?.outcome, "dead", "in the archive")
    },
  },
  {
    name: "pop meets the limit too, whether the lease ran out or was given back",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context, { maxAttempts: 1 })
      await queue.sendBatch([{ payload: "ran out" }, { payload: "given back" }])
      await mustRead(queue, { lease: 0 })
      const [held] = await queue.readBatch({ limit: 1 })
      if (held) await queue.release(held)
      await queue.send("alive")
      equal((await queue.pop())?.payload, "alive", "popped")
      equal(await queue.pop(), null, "popped again")
      const { items } = await client.admin.archive.list({ queue: name, outcome: "dead" })
      equal(payloads(items), ["ran out", "given back"], "dead")
    },
  },
  {
    name: "dead ones do not shorten a batch while live ones wait, nor change its order",
    rule: "core",
    async run(context) {
      for (const dead of [1, 2, 3, 4]) {
        const { queue } = await openQueue(context, { maxAttempts: 1 })
        await sendDeadFirst(context, queue, dead)
        equal(payloads(await queue.readBatch({ limit: 4 })), ["first", "second", "third", "last"], `readBatch after ${dead} dead`)
      }
    },
  },
  {
    name: "dead ones do not shorten a popped batch, nor change its order",
    rule: "core",
    async run(context) {
      for (const dead of [1, 2, 3, 4]) {
        const { queue } = await openQueue(context, { maxAttempts: 1 })
        await sendDeadFirst(context, queue, dead)
        equal(payloads(await queue.popBatch({ limit: 4 })), ["first", "second", "third", "last"], `popBatch after ${dead} dead`)
      }
    },
  },
  {
    name: "maxAttempts null delivers for ever",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context, { maxAttempts: null })
      await queue.send("x")
      for (let attempt = 1; attempt <= 30; attempt++) equal((await mustRead(queue, { lease: 0 })).attempt, attempt, "attempt")
      equal((await queue.retry(await mustRead(queue))).outcome, "retry", "outcome of a retry")
    },
  },
  {
    name: "attempts default to 20",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      for (let attempt = 1; attempt <= 20; attempt++) await mustRead(queue, { lease: 0 })
      equal(await queue.read(), null, "the twenty-first")
    },
  },
  {
    name: "lowering maxAttempts holds for messages that are there",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const id = await queue.send("x")
      for (let attempt = 1; attempt <= 3; attempt++) await mustRead(queue, { lease: 0 })
      await client.admin.updateQueue(name, { maxAttempts: 2 })
      equal(await queue.read(), null, "read")
      equal((await client.admin.archive.get(id))?.attempt, 3, "dead, with its attempts")
    },
  },
  {
    name: "a message dies again in its dead-letter queue, and moves on along the chain",
    rule: "core",
    async run(context) {
      const last = await openQueue(context, { levels: 1 })
      const middle = await openQueue(context, { maxAttempts: 1, deadLetter: last.name })
      const { client, queue } = await openQueue(context, { maxAttempts: 1, deadLetter: middle.name })
      const id = await queue.send("x", { priority: 3 })
      for (const one of [queue, middle.queue]) {
        await mustRead(one, { lease: 0 })
        equal(await one.read(), null, "at its limit")
      }
      const message = await mustRead(last.queue)
      equal([message.id, message.priority], [id, 0], "id, and the last level that there is")
      equal((await client.admin.messages.get(id))?.origin, middle.name, "where it died last")
    },
  },
  {
    name: "a cycle of dead-letter queues is refused, with its path",
    rule: "core",
    async run(context) {
      const a = await openQueue(context)
      const b = await openQueue(context, { deadLetter: a.name })
      const closing = a.client.admin.updateQueue(a.name, { deadLetter: b.name })
      await refuses(closing, "dead_letter_cycle", { queue: a.name, path: [a.name, b.name, a.name] }, "closing it")
      const itself = a.client.admin.updateQueue(a.name, { deadLetter: a.name })
      await refuses(itself, "invalid_option", { field: "deadLetter" }, "itself")
      equal((await a.client.admin.getQueue(a.name)).deadLetter, null, "unchanged")
    },
  },
  {
    name: "a queue that buries the dead of another is dropped only by force; then they go to the archive",
    rule: "core",
    async run(context) {
      const dead = await openQueue(context)
      const { client, queue, name } = await openQueue(context, { maxAttempts: 1, deadLetter: dead.name })
      const facts = { queue: dead.name, inFlight: 0, deadLetterOf: [name] }
      await refuses(client.admin.dropQueue(dead.name), "queue_in_use", facts, "not forced")
      equal(await client.admin.dropQueue(dead.name, { force: true }), true, "forced")
      equal((await client.admin.getQueue(name)).deadLetter, null, "of the other queue")
      const id = await queue.send("x")
      equal((await queue.retry(await mustRead(queue))).outcome, "dead", "outcome")
      equal((await client.admin.archive.get(id))?.outcome, "dead", "in the archive")
    },
  },
]
