import type { QueueInfo, QueueOptions } from "@sluice/core"
import { equal, ok } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import { mustRead, openClient, openQueue, payloads, refuses } from "./open-queue.ts"

/** What a queue has whose creator said nothing but where the run stores its queues. */
function defaultsOf({ queueOptions = {} }: CaseContext): Required<QueueOptions> & Pick<QueueInfo, "pausedAt"> {
  const { partition } = queueOptions
  return {
    levels: 4, lease: "30s", maxAttempts: 20, deadLetter: null, notify: "off", archiveRetention: null, storage: partition ? "dedicated" : "shared",
    backoff: { kind: "exponential", base: "1s", max: "10m", jitter: 0.2 }, done: "delete", onInvalid: "deadLetter", pausedAt: null, results: null,
    concurrency: null, groupConcurrency: null, rateLimit: null, groupRateLimit: null, fifo: false, fair: false,
    ...queueOptions,
    partition: partition ? { unread: "keep", archive: false, ...partition } : null,
  }
}

/** Creating, changing, listing and dropping queues. */
export const adminCases: readonly ConformanceCase[] = [
  {
    name: "createQueue answers with the queue, its options and that it is new",
    rule: "core",
    async run(context) {
      const client = await openClient(context)
      const name = context.unique("Queue")
      const { id, createdAt, ...info } = await client.admin.createQueue(name)
      equal(info, { name, created: true, ...defaultsOf(context) }, "a new queue")
      ok(typeof id === "string" && createdAt instanceof Date, "an id and a time of creation")
      equal(await client.admin.getQueue(name), { id, createdAt, name, ...defaultsOf(context) }, "getQueue")
    },
  },
  {
    // Departs from seeds 1.5 (test_create_duplicate_queue_error); as seeds 2.5 (test_create_same_queue).
    name: "createQueue of a queue that is there: found, and it keeps its messages",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context, { levels: 2, lease: "90s" })
      await queue.send("kept")
      const again = await client.admin.createQueue(name)
      equal([again.created, again.levels, again.lease], [false, 2, "90s"], "no options: nothing to differ")
      equal((await client.admin.createQueue(name, { levels: 2, lease: "1.5m" })).created, false, "the same options")
      equal(payloads([await mustRead(queue)]), ["kept"], "its message")
    },
  },
  {
    name: "createQueue with ifExists: \"error\" refuses a queue that is there, by name",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      await queue.send("kept")
      await refuses(client.admin.createQueue(name, { ifExists: "error" }), "queue_already_exists", { queue: name }, "again")
      equal((await queue.metrics()).length, 1, "the first queue is intact")
      equal((await client.admin.createQueue(`${name}.new`, { ifExists: "error" })).created, true, "a new one")
    },
  },
  {
    name: "createQueue with other options names each difference and changes nothing",
    rule: "core",
    async run(context) {
      const { client, name } = await openQueue(context, { lease: "30s" })
      const differences = [
        { option: "lease", stored: "30s", requested: "1m" },
        { option: "levels", stored: 4, requested: 2 },
        { option: "maxAttempts", stored: 20, requested: null },
      ]
      const asked = client.admin.createQueue(name, { levels: 2, lease: "60s", maxAttempts: null, notify: "off" })
      const error = await refuses(asked, "options_differ", { queue: name, differences }, "other options")
      ok(error.message.includes("updateQueue"), "the message says what changes options")
      equal((await client.admin.getQueue(name)).lease, "30s", "the stored lease")
    },
  },
  {
    // Departs from seeds 2.5, where 48 characters are too many.
    name: "names: 63 of letters, digits and _ . : - in any case; anything else is refused before any SQL",
    rule: "core",
    async run(context) {
      const client = await openClient(context)
      const prefix = context.unique("N")
      const good = [prefix.padEnd(63, "x"), `${prefix}-Mixed.Case:1`, `_${prefix}`, `0${prefix}`]
      for (const name of good) {
        await client.admin.createQueue(name)
        equal((await client.admin.getQueue(name)).name, name, "the name")
        await client.queue(name).send(name)
      }
      const bad = ["", "x".repeat(64), "a b", "-a", ".a", "a/b", "ä", "a\n", "a;drop table x", `a"b`, "a'b", null, 7, {}]
      for (const name of bad as never[]) {
        await refuses(client.admin.createQueue(name), "invalid_name", { value: name }, `createQueue(${JSON.stringify(name)})`)
      }
      await refuses((async () => client.queue("a b"))(), "invalid_name", {}, "client.queue()")
    },
  },
  {
    name: "names are case-sensitive and share nothing",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const upper = name.toUpperCase()
      await refuses(client.queue(upper).send(1), "queue_not_found", { queue: upper }, "the upper-case name")
      equal((await client.admin.createQueue(upper)).created, true, "a queue of its own")
      await queue.send("lower")
      equal(await client.queue(upper).read(), null, "the other one is empty")
    },
  },
  {
    name: "updateQueue changes what is given and nothing else",
    rule: "core",
    async run(context) {
      const { client, name } = await openQueue(context, { levels: 2 })
      await client.admin.createQueue(`${name}.dead`)
      const patch = { lease: "45s", maxAttempts: null, deadLetter: `${name}.dead`, notify: "transaction" } as const
      const changed = await client.admin.updateQueue(name, patch)
      const { id, createdAt, ...options } = changed
      equal(options, { ...defaultsOf(context), name, levels: 2, ...patch }, "changed")
      equal(await client.admin.getQueue(name), { id, createdAt, ...options }, "stored")
      const back = await client.admin.updateQueue(name, { deadLetter: null, maxAttempts: 3 })
      equal([back.deadLetter, back.maxAttempts, back.lease], [null, 3, "45s"], "back again")
      equal((await client.admin.updateQueue(name, {})).maxAttempts, 3, "an empty patch")
    },
  },
  {
    name: "lowering the levels moves their messages to the last one",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context, { levels: 8 })
      for (const priority of [7, 0, 5, 2]) await queue.send(priority, { priority })
      await client.admin.updateQueue(name, { levels: 3 })
      await refuses(queue.send(3, { priority: 3 }), "invalid_option", { field: "priority" }, "a level that went away")
      const read = await queue.readBatch({ limit: 9 })
      equal(read.map(({ payload, priority }) => [payload, priority]), [[0, 0], [7, 2], [5, 2], [2, 2]], "payload and level")
    },
  },
  {
    name: "queues are listed by name, counted and paged",
    rule: "core",
    async run(context) {
      const client = await openClient(context)
      const prefix = context.unique("list")
      const names = ["A", "a", "b.1", "b-2"].map((end) => `${prefix}${end}`)
      for (const name of names) await client.admin.createQueue(name)
      const sorted = names.toSorted()
      equal((await client.admin.listQueues()).map((one) => one.name).filter((name) => name.startsWith(prefix)), sorted, "listQueues")
      equal(await client.admin.queues.count({ prefix }), 4, "count")
      const first = await client.admin.queues.list({ prefix, limit: 3 })
      const rest = await client.admin.queues.list({ prefix, limit: 3, after: first.next })
      equal([...first.items, ...rest.items].map((one) => one.name), sorted, "two pages")
      equal(rest.next, null, "the last page")
    },
  },
  {
    name: "dropQueue says whether there was one; dropped queues are gone with their messages",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      await queue.send("lost")
      equal(await client.admin.dropQueue(name), true, "the first time")
      equal(await client.admin.dropQueue(name), false, "the second time")
      await refuses(queue.send(1), "queue_not_found", { queue: name }, "send")
      await refuses(client.admin.getQueue(name), "queue_not_found", { queue: name }, "getQueue")
      equal((await client.admin.createQueue(name)).created, true, "created anew")
      const { length, total } = await queue.metrics()
      equal({ length, total }, { length: 0, total: 0 }, "the new one")
    },
  },
  {
    name: "dropQueue is refused while leases are live, unless forced; a held message is then stale",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
      const held = await mustRead(queue)
      await refuses(client.admin.dropQueue(name), "queue_in_use", { queue: name, inFlight: 1, deadLetterOf: [] }, "not forced")
      equal((await queue.metrics()).length, 2, "nothing is lost")
      equal(await client.admin.dropQueue(name, { force: true }), true, "forced")
      await refuses(queue.delete(held), "queue_not_found", { queue: name }, "a settle afterwards")
      await client.admin.createQueue(name)
      await refuses(queue.delete(held), "stale_lease", { id: held.id }, "a settle in a new queue of the name")
    },
  },
  {
    // Departs from seeds 1.5, where archived rows keep a queue from being dropped.
    name: "dropQueue drops the archive too, or keeps it",
    rule: "core",
    async run(context) {
      const { client, name } = await openQueue(context)
      for (const keepArchive of [false, true]) {
        await client.admin.createQueue(name)
        const queue = client.queue(name)
        const id = await queue.send("x")
        await queue.archive(await mustRead(queue))
        await client.admin.dropQueue(name, { keepArchive })
        equal((await client.admin.archive.get(id))?.queue, keepArchive ? name : undefined, `keepArchive: ${keepArchive}`)
      }
    },
  },
  {
    name: "install again keeps all data",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context)
      const id = await queue.send("kept")
      const { from, to } = await client.admin.install()
      equal(from, to, "nothing to do")
      equal((await mustRead(queue)).id, id, "the message")
    },
  },
]
