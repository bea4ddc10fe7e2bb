import { createClient, QueueNotFoundError, type Client, type Message, type Queue } from "@sluice/core"
import { equal, inTime, ok, sleep } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import { borrowed, ids, openClient, openElsewhere, openQueue, payloads } from "./open-queue.ts"

/** Several queues of one name, each with connections of its own. */
const readersOf = (context: CaseContext, name: string, count: number): Promise<Queue[]> =>
  Promise.all(Array.from({ length: count }, () => openElsewhere(context, name)))

const numbered = (count: number): { payload: number }[] => Array.from({ length: count }, (_, payload) => ({ payload }))

/** What an administrator does to all messages of a queue while others settle some of them. */
const sweeps: { readonly [name: string]: (client: Client, name: string) => Promise<unknown> } = {
  purge: ({ admin }, name) => admin.purge(name),
  "lowering the levels": ({ admin }, name) => admin.updateQueue(name, { levels: 1 }),
  "dropQueue by force": ({ admin }, name) => admin.dropQueue(name, { force: true }),
}

/** Real concurrency: several drivers on one database. */
export const concurrencyCases: readonly ConformanceCase[] = [
  {
    name: "eight readers of 200 messages: each message once while leases hold",
    rule: "core",
    needs: ["concurrent"],
    timeout: 30_000,
    async run(context) {
      const { queue, name } = await openQueue(context, { lease: "1h" })
      const sent = await queue.sendBatch(numbered(200))
      const read: Message[] = []
      await Promise.all((await readersOf(context, name, 8)).map(async (reader, n) => {
        for (let misses = 0; misses < 2; ) {
          const found = n % 2 ? await reader.readBatch({ limit: 7 }) : [await reader.read()].filter((one) => one !== null)
          misses = found.length === 0 ? misses + 1 : 0
          read.push(...found)
        }
      }))
      equal(ids(read).toSorted(), sent.toSorted(), "every message, once")
      equal((await queue.deleteBatch(read)).settled.length, 200, "settled by their leases")
    },
  },
  {
    name: "eight poppers of 200 messages: each message once",
    rule: "core",
    needs: ["concurrent"],
    timeout: 30_000,
    async run(context) {
      const { queue, name } = await openQueue(context)
      const sent = await queue.sendBatch(numbered(200))
      const popped: string[] = []
      await Promise.all((await readersOf(context, name, 8)).map(async (reader) => {
        for (let misses = 0; misses < 2; ) {
          const found = await reader.popBatch({ limit: 3 })
          misses = found.length === 0 ? misses + 1 : 0
          popped.push(...ids(found))
        }
      }))
      equal(popped.toSorted(), sent.toSorted(), "every message, once")
    },
  },
  {
    name: "batches of settles in opposite orders do not deadlock, and each message is settled once",
    rule: "core",
    needs: ["concurrent"],
    timeout: 30_000,
    async run(context) {
      const { queue, name } = await openQueue(context)
      const [a, b] = (await readersOf(context, name, 2)) as [Queue, Queue]
      for (let round = 0; round < 15; round++) {
        const sent = await queue.sendBatch(numbered(200))
        const held = await queue.readBatch({ limit: 200 })
        const [first, second] = await inTime(
          Promise.all([a.deleteBatch(held), b.archiveBatch(held.toReversed())]), "two batches of settles", 20_000)
        equal([...first.settled, ...second.settled].toSorted(), sent.toSorted(), "settled by one of the two")
        equal([...first.refused, ...second.refused].toSorted(), sent.toSorted(), "refused to the other")
      }
    },
  },
  ...Object.entries(sweeps).map(([name, sweep]): ConformanceCase => ({
    name: `${name} waits for a transaction that settles in order of id, and neither deadlocks`,
    rule: "core",
    needs: ["concurrent"],
    async run(context) {
      const { queue, name: one } = await openQueue(context)
      const elsewhere = await openClient(context, {}, (await context.connect()).driver)
      // The later id is read first, so that the table's own order is not that of the ids.
      await queue.sendBatch([{ payload: "a", priority: 3 }, { payload: "b", priority: 1 }])
      const [b, a] = (await queue.readBatch({ limit: 1 })).concat(await queue.readBatch({ limit: 1 })) as [Message, Message]
      const swept = await context.driver.transaction(async (tx) => {
        await queue.delete(a, { tx })
        const sweeping = sweep(elsewhere, one).then(() => "done", String)
        await sleep(200)
        await queue.delete(b, { tx })
        return () => sweeping
      })
      equal(await inTime(swept(), `${name} after the commit`, 5_000), "done", name)
    },
  })),
  {
    name: "two readers in open transactions get disjoint messages, and neither waits",
    rule: "core",
    needs: ["concurrent"],
    async run(context) {
      const { queue, name } = await openQueue(context)
      const other = await context.connect()
      const elsewhere = (await openClient(context, {}, other.driver)).queue(name)
      await queue.sendBatch(numbered(4))
      await context.driver.transaction(async (tx) => {
        equal(payloads(await queue.readBatch({ limit: 2, tx })), [0, 1], "the first reader")
        await other.driver.transaction(async (second) => {
          await other.driver.within(second).query("set local lock_timeout = 1500") // fails where it would wait
          equal(payloads(await elsewhere.readBatch({ limit: 2, tx: second })), [2, 3], "the second reader")
        })
        const none = await inTime(elsewhere.readBatch({ limit: 9 }), "a third read must not wait")
        equal(none, [], "nothing is left")
      })
    },
  },
  {
    name: "a reader does not wait for an open transaction that sends or settles",
    rule: "core",
    needs: ["concurrent"],
    async run(context) {
      const { queue, name } = await openQueue(context)
      const elsewhere = await openElsewhere(context, name)
      await queue.sendBatch(numbered(3))
      const [held] = await queue.readBatch({ limit: 1, lease: 0 })
      await context.driver.transaction(async (tx) => {
        await queue.delete(held!, { tx })
        await queue.send("uncommitted", { tx })
        equal(payloads(await inTime(elsewhere.readBatch({ limit: 9 }), "a read must not wait")), [1, 2], "read")
        await inTime(elsewhere.send("elsewhere"), "a send must not wait")
        await inTime(elsewhere.metrics(), "metrics must not wait")
      })
    },
  },
  {
    name: "senders, readers and purges at once: no error, no message twice, the counts add up",
    rule: "core",
    needs: ["concurrent"],
    timeout: 30_000,
    async run(context) {
      const { queue, name } = await openQueue(context)
      const [a, b, c, d] = (await readersOf(context, name, 4)) as [Queue, Queue, Queue, Queue]
      const work = { done: false }
      const settled: string[] = []
      const consume = async (reader: Queue): Promise<void> => {
        while (!work.done) settled.push(...(await reader.deleteBatch(await reader.readBatch({ limit: 5 }))).settled)
      }
      const send = async (sender: Queue): Promise<void> => {
        for (let n = 0; n < 40; n++) await (n % 4 === 0 ? sender.sendBatch(numbered(5)) : sender.send(n))
      }
      let purged = 0
      const consumers = [consume(c), consume(d)]
      const purges = (async () => {
        for (let n = 0; n < 8; n++) purged += await queue.purge()
      })()
      await Promise.all([send(a), send(b), purges]).finally(() => (work.done = true))
      await Promise.all(consumers)
      equal(new Set(settled).size, settled.length, "settled twice")
      const { length, total } = await queue.metrics()
      equal([total, settled.length + purged + length], [160, 160], "ever sent; settled, purged and left")
    },
  },
  {
    name: "twenty createQueue at once: all succeed, one created it",
    rule: "core",
    needs: ["concurrent"],
    async run(context) {
      const clients = await Promise.all(Array.from({ length: 4 }, async () => openClient(context, {}, (await context.connect()).driver)))
      const name = context.unique("queue")
      const infos = await Promise.all(Array.from({ length: 20 }, (_, n) => clients[n % 4]!.admin.createQueue(name, { levels: 2 })))
      equal(infos.filter((info) => info.created).length, 1, "how many created it")
      equal(new Set(infos.map((info) => info.id)).size, 1, "ids")
    },
  },
  {
    name: "twenty installs at once: all succeed, one did it",
    rule: "core",
    needs: ["concurrent"],
    timeout: 30_000,
    async run(context) {
      const schema = context.unique("twenty")
      const drivers = await Promise.all(Array.from({ length: 4 }, async () => (await context.connect()).driver))
      const clients = drivers.map((driver) => createClient(borrowed(driver), { schema }))
      context.after(() => clients[0]!.admin.uninstall({ confirm: schema }))
      const results = await Promise.all(Array.from({ length: 20 }, (_, n) => clients[n % 4]!.admin.install()))
      equal(results.filter(({ from }) => from === 0).length, 1, "how many did it")
      equal((await clients[0]!.admin.verify()).ok, true, "the schema is as it should be")
    },
  },
  {
    name: "createQueue, dropQueue and sends at once: typed errors or success, nothing else",
    rule: "core",
    needs: ["concurrent"],
    timeout: 30_000,
    async run(context) {
      const { client, name } = await openQueue(context)
      const elsewhere = await openClient(context, {}, (await context.connect()).driver)
      const outcomes = new Set<string>()
      const work = { done: false }
      const sender = (async () => {
        while (!work.done) {
          const sent = elsewhere.queue(name).send("x")
          outcomes.add(await sent.then(() => "sent", (error: unknown) => (error instanceof QueueNotFoundError ? "not found" : String(error))))
        }
      })()
      for (let n = 0; n < 20; n++) {
        await client.admin.dropQueue(name, { force: true })
        await client.admin.createQueue(name)
      }
      work.done = true
      await sender
      equal([...outcomes].filter((outcome) => outcome !== "sent" && outcome !== "not found"), [], "other outcomes")
      ok((await client.admin.metricsAll()).some((one) => one.name === name), "the queue is there in the end")
    },
  },
]
