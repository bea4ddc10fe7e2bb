import type { Client, Queue } from "@sluice/core"
import { equal } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { openClient, refuses } from "./open-queue.ts"

type Option = { readonly tx?: unknown }
const message = { id: "1", lease: "1" }

/** Every call that names a queue. */
export const callsOfQueue: { readonly [call: string]: (queue: Queue, option: Option) => Promise<unknown> } = {
  send: (queue, option) => queue.send(1, option),
  sendBatch: (queue, option) => queue.sendBatch([{ payload: 1 }], option),
  read: (queue, option) => queue.read(option),
  readBatch: (queue, option) => queue.readBatch({ limit: 2, ...option }),
  pop: (queue, option) => queue.pop(option),
  popBatch: (queue, option) => queue.popBatch({ limit: 2, ...option }),
  setVt: (queue, option) => queue.setVt(message, "1s", option),
  extend: (queue, option) => queue.extend(message, "1s", option),
  release: (queue, option) => queue.release(message, option),
  retry: (queue, option) => queue.retry(message, option),
  delete: (queue, option) => queue.delete(message, option),
  archive: (queue, option) => queue.archive(message, option),
  deleteBatch: (queue, option) => queue.deleteBatch([message], option),
  archiveBatch: (queue, option) => queue.archiveBatch([message], option),
  purge: (queue, option) => queue.purge(option),
  metrics: (queue, option) => queue.metrics(option),
}

/** The same of `client.admin`. */
export const callsOfAdmin: { readonly [call: string]: (admin: Client["admin"], name: string, option: Option) => Promise<unknown> } = {
  getQueue: (admin, name, option) => admin.getQueue(name, option),
  updateQueue: (admin, name, option) => admin.updateQueue(name, { levels: 2 }, option),
  "purge of admin": (admin, name, option) => admin.purge(name, option),
  "metrics of admin": (admin, name, option) => admin.metrics(name, option),
  "queues.get": (admin, name, option) => admin.queues.get(name, option),
  "messages.delete": (admin, name, option) => admin.messages.delete(name, "1", option),
  "messages.archive": (admin, name, option) => admin.messages.archive(name, ["1", "2"], option),
  "messages.setVt": (admin, name, option) => admin.messages.setVt(name, "1", "1s", option),
}

/** Departs from seeds 6: one typed error, where pgmq has undefined_table and AsyncMQ creates the queue. */
export const unknownQueueCases: readonly ConformanceCase[] = [
  ...Object.entries(callsOfQueue).map(([call, run]): ConformanceCase => ({
    name: `${call} on an unknown queue: QueueNotFoundError with its name`,
    rule: "core",
    async run(context) {
      const name = context.unique("nowhere")
      const client = await openClient(context)
      await refuses(run(client.queue(name), {}), "queue_not_found", { queue: name }, call)
      equal(await client.admin.queues.count({ prefix: name }), 0, "no queue is made by it")
    },
  })),
  ...Object.entries(callsOfAdmin).map(([call, run]): ConformanceCase => ({
    name: `${call} on an unknown queue: QueueNotFoundError with its name`,
    rule: "core",
    async run(context) {
      const name = context.unique("nowhere")
      const client = await openClient(context)
      await refuses(run(client.admin, name, {}), "queue_not_found", { queue: name }, call)
    },
  })),
  {
    name: "readWithPoll on an unknown queue: QueueNotFoundError at once, not after the wait",
    rule: "core",
    async run(context) {
      const name = context.unique("nowhere")
      const client = await openClient(context)
      await refuses(client.queue(name).readWithPoll({ wait: "60s" }), "queue_not_found", { queue: name }, "readWithPoll")
    },
  },
  {
    name: "a dead-letter queue that is not there: QueueNotFoundError, and no queue is made",
    rule: "core",
    async run(context) {
      const name = context.unique("queue")
      const client = await openClient(context)
      const created = client.admin.createQueue(name, { deadLetter: `${name}.dead` })
      await refuses(created, "queue_not_found", { queue: `${name}.dead` }, "createQueue")
      equal(await client.admin.queues.count({ prefix: name }), 0, "queues")
    },
  },
  {
    name: "a stream's name where a queue is meant: WrongKindError with both kinds",
    rule: "core",
    async run(context) {
      const name = context.unique("stream")
      const client = await openClient(context)
      await client.admin.createQueue(name)
      await context.exec("update sluice_conformance.queue set kind = 'stream' where name = $1::text", [name])
      const facts = { queue: name, expected: "work", actual: "stream" }
      for (const [call, run] of Object.entries(callsOfQueue)) await refuses(run(client.queue(name), {}), "wrong_kind", facts, call)
      for (const [call, run] of Object.entries(callsOfAdmin)) await refuses(run(client.admin, name, {}), "wrong_kind", facts, call)
      await refuses(client.admin.createQueue(name), "wrong_kind", facts, "createQueue")
      await refuses(client.admin.dropQueue(name), "wrong_kind", facts, "dropQueue")
    },
  },
]
