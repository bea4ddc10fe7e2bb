import type { Client, Driver, Message, Queue } from "@sluice/core"
import { equal, eventually, ok, sleep } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import type { WireCost } from "../../wire-tap.ts"
import { mustRead, openClient, openQueue } from "./open-queue.ts"

interface Warm {
  readonly driver: Driver
  readonly client: Client
  readonly queue: Queue
  readonly name: string
}

/** Makes what an operation needs, and answers with what is to be measured. */
type Operation = (warm: Warm) => Promise<() => Promise<unknown>>

const onLeased = (run: (queue: Queue, message: Message, warm: Warm) => Promise<unknown>): Operation => async (warm) => {
  await warm.queue.send("x")
  const message = await mustRead(warm.queue)
  return () => run(warm.queue, message, warm)
}
const onQueue = (run: (queue: Queue) => Promise<unknown>): Operation => async ({ queue }) => {
  await queue.send("x")
  return () => run(queue)
}
const onAdmin = (run: (warm: Warm) => Promise<unknown>): Operation => async (warm) => () => run(warm)

const operations: { readonly [name: string]: Operation } = {
  send: onQueue((queue) => queue.send({ n: 1 }, { delay: "1s", headers: { h: 1 }, priority: 2 })),
  "sendBatch of 100": onQueue((queue) => queue.sendBatch(Array.from({ length: 100 }, (_, payload) => ({ payload })))),
  read: onQueue((queue) => queue.read()),
  "read with a filter": onQueue((queue) => queue.read({ filter: { payload: "x" } })),
  "readBatch of 10": onQueue((queue) => queue.readBatch({ limit: 10 })),
  "readWithPoll that finds one": onQueue((queue) => queue.readWithPoll()),
  pop: onQueue((queue) => queue.pop()),
  "popBatch of 10": onQueue((queue) => queue.popBatch({ limit: 10 })),
  setVt: onLeased((queue, message) => queue.setVt(message, "1m")),
  extend: onLeased((queue, message) => queue.extend(message, "1m")),
  release: onLeased((queue, message) => queue.release(message)),
  retry: onLeased((queue, message) => queue.retry(message, { error: new Error("again") })),
  delete: onLeased((queue, message) => queue.delete(message)),
  archive: onLeased((queue, message) => queue.archive(message)),
  deleteBatch: onLeased((queue, message) => queue.deleteBatch([message])),
  archiveBatch: onLeased((queue, message) => queue.archiveBatch([message])),
  "admin.messages.delete": onLeased((_queue, { id }, { client, name }) => client.admin.messages.delete(name, [id, "1"])),
  "admin.messages.archive": onLeased((_queue, { id }, { client, name }) => client.admin.messages.archive(name, id)),
  "admin.messages.setVt": onLeased((_queue, { id }, { client, name }) => client.admin.messages.setVt(name, id, "1m")),
  purge: onQueue((queue) => queue.purge()),
  metrics: onQueue((queue) => queue.metrics()),
  metricsAll: onAdmin(({ client }) => client.admin.metricsAll()),
  createQueue: onAdmin(({ client, name }) => client.admin.createQueue(name)),
  updateQueue: onAdmin(({ client, name }) => client.admin.updateQueue(name, { lease: "30s" })),
  getQueue: onAdmin(({ client, name }) => client.admin.getQueue(name)),
  listQueues: onAdmin(({ client }) => client.admin.listQueues()),
  "dropQueue of none": onAdmin(({ client, name }) => client.admin.dropQueue(`${name}.none`)),
}

/** A client on one connection, without the wake that follows a send. */
async function openWarm(context: CaseContext, notify = false): Promise<Warm> {
  const { driver } = await context.connect({ max: 1 })
  const { name } = await openQueue(context)
  const client = await openClient(context, { notify, listen: false }, driver)
  return { driver, client, name, queue: client.queue(name) }
}

/** The third of three runs: what a driver parses, describes or looks up once is done. */
async function measureThird(context: CaseContext, operation: Operation, warm: Warm): Promise<WireCost> {
  for (let n = 0; n < 2; n++) await (await operation(warm))()
  return context.tap.measure(await operation(warm))
}

/** What each operation costs, on a warm connection. */
export const queueBudgetCases: readonly ConformanceCase[] = [
  ...Object.entries(operations).map(([name, operation]): ConformanceCase => ({
    name: `${name}: one statement`,
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const cost = await measureThird(context, operation, await openWarm(context))
      context.record(name, cost)
      equal(cost.statements.length, 1, `statements: ${cost.statements.join("; ")}`)
      equal(cost.completed, 1, "statements completed")
    },
  })),
  ...Object.entries(operations).map(([name, operation]): ConformanceCase => ({
    name: `${name}: one round trip`,
    rule: "budget",
    needs: ["tap", "prepare"],
    async run(context) {
      const cost = await measureThird(context, operation, await openWarm(context))
      equal(cost.roundTrips, 1, `round trips of ${cost.statements.join("; ")}`)
    },
  })),
  {
    name: "in the caller's transaction an operation adds one statement each",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const { driver, queue } = await openWarm(context)
      const work = (joined: boolean): Promise<void> => driver.transaction(async (tx) => {
        if (!joined) return
        await queue.send(1, { tx })
        const message = await mustRead(queue, { tx })
        await queue.delete(message, { tx })
      })
      for (const joined of [true, false, true]) await work(joined)
      const empty = await context.tap.measure(() => work(false))
      const cost = await context.tap.measure(() => work(true))
      context.record("send, read and delete in a transaction", cost)
      equal(cost.statements.length - empty.statements.length, 3, `statements: ${cost.statements.join("; ")}`)
    },
  },
  {
    name: "what needs no SQL sends nothing",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const { client, queue } = await openWarm(context)
      await queue.read()
      const cost = await context.tap.measure(async () => {
        await queue.sendBatch([])
        await queue.deleteBatch([])
        await queue.archiveBatch([])
        await client.admin.messages.delete("another", [])
        client.queue("another")
        client.admin.migrations()
        await queue.send(1n).catch(() => undefined)
        await queue.read({ lease: 5 as never }).catch(() => undefined)
        await queue.read({ filter: {} }).catch(() => undefined)
        await client.admin.createQueue("no name").catch(() => undefined)
        await queue.delete({ id: "x", lease: "y" }).catch(() => undefined)
      })
      equal([cost.statements, cost.roundTrips], [[], 0], "statements and round trips")
    },
  },
  {
    name: "a refusal costs what an answer costs",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const { client, queue, name } = await openWarm(context)
      const refused = async (): Promise<void> => {
        await queue.delete({ id: "1", lease: "1" }).catch(() => undefined)
        await client.queue(`${name}.nowhere`).send(1).catch(() => undefined)
      }
      await refused()
      const cost = await context.tap.measure(refused)
      equal(cost.statements.length, 2, `statements: ${cost.statements.join("; ")}`)
    },
  },
  {
    name: "a send with notify costs one statement more; twenty at once are coalesced",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const { queue } = await openWarm(context, true)
      let notifies = 0
      const measure = async (work: () => Promise<unknown>): Promise<readonly string[]> => {
        await sleep(60) // so that no pause of an earlier hint is running
        const { statements } = await context.tap.measure(() => work().then(() => sleep(120)))
        notifies = statements.filter((text) => text.includes("pg_notify")).length
        return statements
      }
      await queue.send("warm")
      const one = await measure(() => queue.send("x"))
      equal([one.length, notifies], [2, 1], `statements: ${one.join("; ")}`)
      const twenty = await measure(() => Promise.all(Array.from({ length: 20 }, (_, n) => queue.send(n))))
      equal(twenty.length - notifies, 20, "sends")
      ok(notifies >= 1 && notifies < 10, `hints must be coalesced, received ${notifies} for twenty sends`)
      await eventually(() => measure(() => Promise.resolve()), [], "silence afterwards")
    },
  },
  {
    name: "a waiting reader asks ever more seldom",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const { queue } = await openWarm(context)
      await queue.read()
      const cost = await context.tap.measure(() => queue.readWithPoll({ wait: "600ms" }))
      context.record("readWithPoll for 600 ms", cost)
      ok(cost.statements.length <= 12, `at most twelve looks in 600 ms, received ${cost.statements.length}`)
    },
  },
]
