import { createClient, type Client, type Message, type Queue } from "@sluice/core"
import { equal, equalRows, rejects } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { borrowed, mustRead, openElsewhere, openQueue, payloads, refuses, stopClock } from "./open-queue.ts"

interface Setting {
  readonly client: Client
  readonly queue: Queue
  readonly name: string
  /** Leased before the transaction. */
  readonly held: Message
}

/** An operation of the caller's transaction, and how many messages the queue has if it commits; one if it never was. */
const operations: { readonly [name: string]: readonly [run: (setting: Setting, tx: unknown) => Promise<unknown>, lengthAfter: number] } = {
  send: [({ queue }, tx) => queue.send("sent", { tx }), 2],
  sendBatch: [({ queue }, tx) => queue.sendBatch([{ payload: 1 }, { payload: 2 }], { tx }), 3],
  delete: [({ queue, held }, tx) => queue.delete(held, { tx }), 0],
  deleteBatch: [({ queue, held }, tx) => queue.deleteBatch([held], { tx }), 0],
  archive: [({ queue, held }, tx) => queue.archive(held, { tx }), 0],
  archiveBatch: [({ queue, held }, tx) => queue.archiveBatch([held], { tx }), 0],
  purge: [({ queue }, tx) => queue.purge({ tx }), 0],
  "send, read and delete": [async ({ queue }, tx) => {
    await queue.send("own", { tx })
    await queue.delete(await mustRead(queue, { tx }), { tx })
  }, 1],
  "send and pop": [async ({ queue }, tx) => {
    await queue.send("own", { tx })
    await queue.pop({ tx })
  }, 1],
}

class RollBack extends Error {}

/** What is done in the caller's transaction commits with it, or never was. */
export const joinedCases: readonly ConformanceCase[] = [
  ...Object.entries(operations).flatMap(([operation, [run, lengthAfter]]) => [true, false].map((commit): ConformanceCase => ({
    name: `${operation} in a transaction that ${commit ? "commits, together with the caller's row" : "rolls back never was"}`,
    rule: "within",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const table = await context.table("n int4")
      await queue.send("before")
      const setting = { client, queue, name, held: await mustRead(queue) }
      const work = context.driver.transaction(async (tx) => {
        await context.driver.within(tx).query(`insert into ${table} values (1)`)
        await run(setting, tx)
        equal((await queue.metrics({ tx })).length, lengthAfter, "length, seen from inside")
        if (!commit) throw new RollBack()
      })
      if (commit) await work
      else await rejects(work, "a rolled-back transaction")
      equal((await queue.metrics()).length, commit ? lengthAfter : 1, "length afterwards")
      equalRows(await context.exec(`select n from ${table}`), commit ? [{ n: 1 }] : [], "the caller's row")
      if (!commit) await queue.delete(setting.held)
    },
  }))),
  ...[true, false].map((commit): ConformanceCase => ({
    name: `release, retry, setVt and extend in a transaction that ${commit ? "commits" : "rolls back"}`,
    rule: "within",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
      const [a, b, c, d] = (await queue.readBatch({ limit: 4, lease: "1h" })) as [Message, Message, Message, Message]
      const work = context.driver.transaction(async (tx) => {
        await queue.release(a, { tx })
        await queue.retry(b, { delay: "5s", tx })
        await queue.setVt(c, "10s", { tx })
        await queue.extend(d, "1h", { tx })
        if (!commit) throw new RollBack()
      })
      await (commit ? work : rejects(work, "the transaction"))
      const { visible, inFlight, delayed } = await queue.metrics()
      equal([visible, inFlight, delayed], commit ? [1, 2, 1] : [0, 4, 0], "visible, in flight, delayed")
      await stopClock(context, 10)
      equal(payloads(await queue.readBatch({ limit: 9 })), commit ? [1, 2, 3] : [], "ready after 10 s")
    },
  })),
  {
    name: "what a transaction sent, it reads; nobody else sees it before the commit",
    rule: "within",
    needs: ["concurrent"],
    async run(context) {
      const { queue, name } = await openQueue(context)
      const elsewhere = await openElsewhere(context, name)
      await context.driver.transaction(async (tx) => {
        await queue.sendBatch([{ payload: 1 }, { payload: 2 }], { tx })
        equal((await mustRead(queue, { tx })).payload, 1, "read inside")
        equal(await elsewhere.read(), null, "read elsewhere")
        equal((await elsewhere.metrics()).length, 0, "length elsewhere")
      })
      equal(payloads(await elsewhere.readBatch({ limit: 9 })), [2], "elsewhere after the commit: what the reader does not hold")
    },
  },
  {
    name: "a message read in an open transaction is passed by elsewhere, and comes back when that rolls back",
    rule: "within",
    needs: ["concurrent"],
    async run(context) {
      const { queue, name } = await openQueue(context)
      const elsewhere = await openElsewhere(context, name)
      await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
      await rejects(context.driver.transaction(async (tx) => {
        equal((await mustRead(queue, { tx })).payload, 1, "read inside")
        equal(payloads(await elsewhere.popBatch({ limit: 9 })), [2], "popped elsewhere meanwhile")
        throw new RollBack()
      }), "the transaction")
      const back = await mustRead(elsewhere)
      equal([back.payload, back.attempt], [1, 1], "payload, and an attempt that was not counted")
    },
  },
  {
    name: "a pop that rolls back puts the message back",
    rule: "within",
    async run(context) {
      const { queue } = await openQueue(context)
      const id = await queue.send("x", { priority: 2 })
      await rejects(context.driver.transaction(async (tx) => {
        equal((await queue.pop({ tx }))?.id, id, "popped")
        equal(await queue.pop({ tx }), null, "popped again")
        throw new RollBack()
      }), "the transaction")
      const { attempt, priority } = (await queue.pop()) ?? {}
      equal([attempt, priority], [1, 2], "attempt and priority")
    },
  },
  {
    name: "a read that commits keeps its lease beyond the transaction",
    rule: "within",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      const message = await context.driver.transaction((tx) => mustRead(queue, { tx, lease: "1h" }))
      equal(await queue.read(), null, "read by somebody else")
      await queue.delete(message)
    },
  },
  {
    name: "a settle in an open transaction is not seen elsewhere until it commits",
    rule: "within",
    needs: ["concurrent"],
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const elsewhere = await openElsewhere(context, name)
      await queue.send("x")
      const held = await mustRead(queue)
      await context.driver.transaction(async (tx) => {
        await queue.archive(held, { tx })
        equal((await elsewhere.metrics()).inFlight, 1, "in flight elsewhere")
        equal(await client.admin.archive.count({ queue: name, tx }), 1, "archived, seen from inside")
      })
      equal((await elsewhere.metrics()).length, 0, "afterwards")
    },
  },
  {
    name: "createQueue, updateQueue and dropQueue commit or roll back with the caller",
    rule: "within",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const { driver } = context
      await rejects(driver.transaction(async (tx) => {
        await client.admin.createQueue(`${name}.b`, { tx })
        await client.queue(`${name}.b`).send("x", { tx })
        await client.admin.updateQueue(name, { lease: "5m" }, { tx })
        await queue.send("lost", { tx })
        await client.admin.dropQueue(name, { tx })
        await refuses(queue.send(1, { tx }), "queue_not_found", { queue: name }, "inside, after the drop")
        throw new RollBack()
      }), "the transaction")
      await refuses(client.admin.getQueue(`${name}.b`), "queue_not_found", {}, "a queue whose creation rolled back")
      equal((await client.admin.getQueue(name)).lease, "30s", "of the queue whose update and drop rolled back")
      await driver.transaction(async (tx) => {
        await client.admin.createQueue(`${name}.b`, { tx })
        await client.queue(`${name}.b`).send("kept", { tx })
        await client.admin.dropQueue(name, { tx })
      })
      equal((await mustRead(client.queue(`${name}.b`))).payload, "kept", "what was sent to it where it was made")
      await refuses(queue.send(1), "queue_not_found", {}, "the dropped queue")
    },
  },
  {
    name: "install in the caller's transaction: gone when that rolls back, there when it commits",
    rule: "within",
    async run(context) {
      const schema = context.unique("joined")
      const own = createClient(borrowed(context.driver), { schema })
      context.after(() => own.admin.uninstall({ confirm: schema }))
      await rejects(context.driver.transaction(async (tx) => {
        await own.admin.install({ tx })
        await own.admin.createQueue("q", { tx })
        throw new RollBack()
      }), "the transaction")
      await refuses(own.queue("q").send(1), "schema_not_installed", { schema }, "after a rollback")
      await context.driver.transaction(async (tx) => {
        await own.admin.install({ tx })
        await own.admin.createQueue("q", { tx })
        await own.queue("q").send("x", { tx })
      })
      equal((await mustRead(own.queue("q"))).payload, "x", "after a commit")
    },
  },
  {
    name: "several queues and the caller's rows in one transaction",
    rule: "within",
    async run(context) {
      const a = await openQueue(context)
      const b = await openQueue(context)
      const table = await context.table("id text")
      await a.queue.send("in")
      await context.driver.transaction(async (tx) => {
        const message = await mustRead(a.queue, { tx })
        await context.driver.within(tx).query(`insert into ${table} values ($1::text)`, [message.id])
        await b.queue.send(message.payload, { tx })
        await a.queue.delete(message, { tx })
      })
      equal([(await a.queue.metrics()).length, (await b.queue.metrics()).length], [0, 1], "lengths")
      equal((await context.exec(`select id from ${table}`)).length, 1, "the caller's rows")
    },
  },
]
