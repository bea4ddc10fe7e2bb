import type { Client, Driver, Handler, Queue } from "@sluice/core"
import { equal, inTime } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import { borrowed, openClient, openQueue, type OpenQueue, refuses, stopClock } from "../queue/open-queue.ts"
import { numbered, openQueueWorker, openWorker, whereabouts, type OpenWorker } from "./open-worker.ts"

const transactional = true

/** A worker with connections of its own, so that the case can look on while it has all of them in transactions. */
async function openApart(context: CaseContext, handler: (queue: Queue) => Handler): Promise<OpenQueue & OpenWorker> {
  const { client, queue, name } = await openQueue(context)
  const own = await openClient(context, { listen: false }, (await context.connect()).driver)
  return { client, queue, name, ...openWorker(context, own, [handler(own.queue(name))], { concurrency: 1 }) }
}

/** What others may do to a message that is claimed. */
const meanwhile = {
  took: { act: (client: Client, name: string, id: string) => client.admin.messages.setVt(name, id, "1h"), told: "lost", where: ["delayed", 1, []] },
  cancelled: { act: (client: Client, name: string, id: string) => client.queue(name).cancel(id), told: "cancelled", where: ["gone"] },
} as const

/** The lock under which a transactional handler works, and the connections that it needs. */
export const transactionalLeaseCases: readonly ConformanceCase[] = [
  {
    name: "a handler longer than its lease: nobody else gets the message while its transaction lives",
    rule: "core",
    needs: ["concurrent"],
    async run(context) {
      await stopClock(context, 0)
      const gate = Promise.withResolvers<void>()
      const { client, queue, worker, tells, names } = await openApart(context, (one) => one.handler(() => gate.promise, { transactional }))
      const id = await queue.send("x")
      await worker.start()
      await tells("start")
      for (const seconds of [31, 3600]) {
        await stopClock(context, seconds)
        equal(await queue.read(), null, `read ${seconds} s after the claim`)
      }
      gate.resolve()
      await tells("done")
      equal([names(), await whereabouts(client, id)], [["start", "done"], ["gone"]], "told, and where the message is")
    },
  },
  {
    name: "the messages of a batch are all locked from its begin",
    rule: "core",
    needs: ["concurrent"],
    async run(context) {
      await stopClock(context, 0)
      const gate = Promise.withResolvers<void>()
      const { queue, worker, tells } = await openApart(context, (one) => one.handler(() => gate.promise, { transactional, batch: 3 }))
      await queue.sendBatch(numbered(3))
      await worker.start()
      await tells("start")
      await stopClock(context, 3600)
      equal(await queue.readBatch({ limit: 9 }), [], "read an hour after the claim")
      gate.resolve()
      await tells("done", 3)
    },
  },
  ...Object.entries(meanwhile).map(([name, { act, told, where }]): ConformanceCase => ({
    name: `a message that somebody ${name} between its claim and its lock is not handled`,
    rule: "core",
    needs: ["concurrent"],
    async run(context) {
      const { client, queue, name: named } = await openQueue(context)
      const driver = borrowed((await context.connect()).driver)
      const within: Driver["within"] = (tx) => ({
        query: async (text, ...values) => {
          if (text.includes(".try_lock(")) await act(client, named, id)
          return driver.within(tx).query(text, ...values)
        },
      })
      const own = await openClient(context, { listen: false }, { ...driver, within })
      const id = await queue.send("x")
      const { worker, tells, names } = openWorker(context, own, [own.queue(named).handler(() => undefined, { transactional })], { concurrency: 1 })
      await worker.start()
      await tells(told)
      await inTime(worker.stop(), "stop()")
      equal([names(), await whereabouts(client, id)], [[told, "stopped"], where], "told, and where the message is")
    },
  })),
  {
    name: "start refuses more transactions than leave a connection for beats, with both numbers",
    rule: "core",
    needs: ["maxConnections"],
    async run(context) {
      const { client, queue } = await openQueue(context)
      const maxConnections = context.driver.maxConnections!
      const concurrency = Math.max(2, maxConnections)
      const { worker } = openWorker(context, client, [queue.handler(() => undefined, { transactional })], { concurrency })
      await refuses(worker.start(), "pool_too_small", { concurrency, maxConnections }, "start()")
      const fits = openWorker(context, client, [queue.handler(() => undefined, { transactional })], { concurrency: Math.max(1, maxConnections - 1) })
      await fits.worker.start()
    },
  },
  ...([1, 2] as const).map((max): ConformanceCase => ({
    name: `with a pool of ${max} they run one at a time, and all of them`,
    rule: "core",
    async run(context) {
      const { driver } = await context.connect({ max })
      const client = await openClient(context, { listen: false }, driver)
      const { queue, name } = await openQueue(context)
      let [inside, most] = [0, 0]
      const { drain, told } = openWorker(context, client, [client.queue(name).handler(async (_message, { tx }) => {
        most = Math.max(most, ++inside)
        await driver.within(tx).query("select 1::int4 as one")
        inside--
      }, { transactional })], driver.maxConnections === undefined ? { concurrency: 1 } : {})
      await queue.sendBatch(numbered(6))
      await drain()
      equal([told("done").length, told("error")], [6, []], "done, and errors")
      if (driver.maxConnections === undefined || driver.maxConnections <= 2) equal(most, 1, "most at once")
    },
  })),
  {
    name: "many transactions at once: as many as the pool leaves room for",
    rule: "core",
    needs: ["parallel"],
    async run(context) {
      const opened = Promise.withResolvers<void>()
      let inside = 0
      const { queue, worker, tells, told } = await openQueueWorker(context, (one) => one.handler(async () => {
        if (++inside === 2) opened.resolve()
        await opened.promise
      }, { transactional, concurrency: 2 }), { concurrency: 2 })
      await queue.sendBatch(numbered(4))
      await worker.start()
      await tells("done", 4)
      equal(told("error"), [], "errors")
    },
  },
]
