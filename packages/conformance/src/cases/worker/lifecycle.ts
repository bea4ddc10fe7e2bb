import { equal, eventually, inTime, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { ids, mustRead, openClient, openQueue, payloads, refuses } from "../queue/open-queue.ts"
import { codeOf, fired, numbered, openQueueWorker, openWorker } from "./open-worker.ts"

/** From start to stop. */
export const lifecycleCases: readonly ConformanceCase[] = [
  {
    name: "drain handles what is there, one by one in order, and stops",
    rule: "core",
    async run(context) {
      const seen: unknown[] = []
      const { queue, worker, names, drain, told } = await openQueueWorker(context, (one) => one.handler(({ payload }) => void seen.push(payload)), { concurrency: 1 })
      await queue.sendBatch(numbered(12))
      await drain()
      equal(seen, numbered(12).map(({ payload }) => payload), "handled")
      equal(payloads(told("done").map(({ message }) => message)), seen, "told as done")
      ok(told("done").every(({ ms }) => ms >= 0), "done tells how long the handler took")
      equal(names().at(-1), "stopped", "the last event")
      equal(told("stopped"), [{ worker: worker.name }], "told as stopped")
      equal((await queue.metrics()).length, 0, "left in the queue")
    },
  },
  {
    name: "many at once, over several claims: each message once",
    rule: "core",
    async run(context) {
      const seen: string[] = []
      const { queue, drain, told } = await openQueueWorker(context, (one) => one.handler(({ id }) => void seen.push(id)), { concurrency: 20 })
      const sent = await queue.sendBatch(numbered(150))
      await drain()
      equal(seen.toSorted(), sent.toSorted(), "handled")
      equal([told("done").length, told("lost").length, told("error")], [150, 0, []], "done, lost and errors")
    },
  },
  {
    name: "two workers of one queue: each message once",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context)
      const sent = await queue.sendBatch(numbered(60))
      const seen: string[] = []
      const handler = queue.handler(({ id }) => void seen.push(id))
      const workers = [1, 2].map(() => openWorker(context, client, [handler], { concurrency: 3 }))
      await Promise.all(workers.map((one) => one.drain()))
      equal(seen.toSorted(), sent.toSorted(), "handled")
    },
  },
  {
    name: "once started it handles what comes; stop lets the handler that runs finish, and claims nothing more",
    rule: "core",
    async run(context) {
      const gate = Promise.withResolvers<void>()
      const { queue, worker, tells, names } = await openQueueWorker(context, (one) => one.handler(() => gate.promise), { concurrency: 1 })
      await worker.start()
      const [, second] = await queue.sendBatch(numbered(2))
      await tells("start")
      const stopping = worker.stop()
      const first = await Promise.race([stopping.then(() => "stop"), queue.metrics().then(() => "a look at the queue")])
      equal(first, "a look at the queue", "what resolves first while the handler runs")
      gate.resolve()
      await inTime(stopping, "stop()")
      equal(names(), ["start", "done", "stopped"], "told")
      const left = await mustRead(queue)
      equal([left.id, left.attempt], [second, 1], "left, and never claimed before")
    },
  },
  {
    name: "queue.work starts a worker, and a second stop is the first",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const handled = Promise.withResolvers<unknown>()
      const worker = await queue.work(({ payload }) => handled.resolve(payload), { maintenance: false, pollInterval: "20ms" })
      context.after(() => worker.stop({ timeout: 0 }))
      await queue.send("hello")
      equal(await inTime(handled.promise, "the handler was not called"), "hello", "handled")
      await inTime(Promise.all([worker.stop(), worker.stop()]), "stop()")
      await refuses(worker.start(), "invalid_option", { field: "start" }, "start after stop")
    },
  },
  {
    name: "stop with a timeout fires the signals, and what was not finished is ready at once",
    rule: "core",
    async run(context) {
      const reasons: unknown[] = []
      const { queue, worker, tells, told, names } = await openQueueWorker(context, (one) => one.handler(async (_message, { signal }) => {
        reasons.push(codeOf(await fired(signal)))
        throw new Error("given up")
      }))
      await queue.send("x")
      await worker.start()
      await tells("start")
      await inTime(worker.stop({ timeout: 0 }), "stop()")
      equal([told("start").length, reasons, names().at(-1)], [1, ["worker_stopped"], "stopped"], "handlers begun, the signal's reason, and the last event")
      ok(told("released").length > 0, `told as released, not as failed: ${names().join(", ")}`)
      equal((await mustRead(queue)).attempt, 2, "attempt of the next delivery: it was one")
    },
  },
  {
    name: "stop does not wait for ever for a handler that ignores its signal",
    rule: "core",
    async run(context) {
      const { queue, worker, tells } = await openQueueWorker(context, (one) => one.handler(() => new Promise(() => undefined)))
      await queue.send("x")
      await worker.start()
      await tells("start")
      await inTime(worker.stop({ timeout: 0 }), "stop()")
      equal((await queue.metrics()).visible, 1, "ready again")
    },
  },
  {
    name: "what was claimed ahead goes back at stop, and its attempt is not charged",
    rule: "core",
    async run(context) {
      const gate = Promise.withResolvers<void>()
      const { queue, worker, tells, told } = await openQueueWorker(context, (one) => one.handler(() => gate.promise), { concurrency: 1, prefetch: 5 })
      const sent = await queue.sendBatch(numbered(4))
      await worker.start()
      await tells("start")
      await eventually(async () => (await queue.metrics()).inFlight, 4, "claimed ahead")
      const stopping = worker.stop()
      await tells("released", 3)
      gate.resolve()
      await inTime(stopping, "stop()")
      equal([told("start").length, told("done").length], [1, 1], "begun and done")
      const left = await queue.readBatch({ limit: 9 })
      equal([ids(left).toSorted(), left.map(({ attempt }) => attempt)], [sent.slice(1), [1, 1, 1]], "left, with their attempts")
    },
  },
  {
    name: "an abort of its signal stops it",
    rule: "core",
    async run(context) {
      const { signal, abort } = abortable()
      const { queue, worker, tells } = await openQueueWorker(context, (one) => one.handler(() => undefined), { signal })
      await worker.start()
      abort()
      await tells("stopped")
      await queue.send("x")
      equal((await mustRead(queue)).attempt, 1, "left to others")
    },
  },
  {
    name: "runFor stops by itself; what it did not come to is still there",
    rule: "core",
    async run(context) {
      const { queue, worker, told } = await openQueueWorker(context, (one) => one.handler(() => undefined))
      await queue.sendBatch(numbered(3))
      await inTime(worker.runFor("250ms"), "runFor()")
      equal(told("done").length + (await queue.metrics()).visible, 3, "done and left")
    },
  },
  {
    name: "client.close stops its workers",
    rule: "core",
    async run(context) {
      const { name, queue } = await openQueue(context)
      const client = await openClient(context)
      const { worker, tells, names } = openWorker(context, client, [client.queue(name).handler(() => undefined)])
      await worker.start()
      await inTime(client.close(), "client.close()")
      await tells("stopped")
      equal(names().at(-1), "stopped", "the last event")
      await queue.send("x")
      equal((await mustRead(queue)).attempt, 1, "left to others")
    },
  },
  {
    name: "start refuses a queue that is not there, and says so by name",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const other = client.queue(`${name}.none`)
      const { worker } = openWorker(context, client, [queue.handler(() => undefined), other.handler(() => undefined)])
      await refuses(worker.start(), "queue_not_found", { queue: `${name}.none` }, "start()")
    },
  },
  {
    name: "a queue that is dropped under it: its message is lost, it goes on, and finds the queue when it is there again",
    rule: "core",
    async run(context) {
      const [a, b] = [await openQueue(context), await openQueue(context)]
      const gate = Promise.withResolvers<void>()
      const seen: unknown[] = []
      const { worker, tells } = openWorker(context, a.client, [
        a.client.queue(a.name).handler(async ({ payload }) => {
          if (payload === "first") await gate.promise
          seen.push(payload)
        }),
        a.client.queue(b.name).handler(({ payload }) => void seen.push(payload)),
      ])
      await a.queue.send("first")
      await worker.start()
      await tells("start")
      await a.client.admin.dropQueue(a.name, { force: true })
      equal(codeOf((await tells("error")).error), "queue_not_found", "told of the claim")
      gate.resolve()
      await b.queue.send("of another queue")
      await eventually(() => seen, ["first", "of another queue"], "handled meanwhile")
      await a.client.admin.createQueue(a.name)
      await a.client.queue(a.name).send("again")
      await eventually(() => seen.includes("again"), true, "handled in the queue that is there again", 8_000)
    },
  },
  {
    name: "it goes on after its connections were cut",
    rule: "core",
    needs: ["tap"],
    timeout: 30_000,
    async run(context) {
      const { name, worker, tells, told } = await openQueueWorker(context, (one) => one.handler(() => undefined))
      await worker.start()
      await tells("idle")
      context.tap.cut()
      const elsewhere = await openClient(context, {}, (await context.connect()).driver)
      await elsewhere.queue(name).send("x")
      await eventually(() => told("done").length, 1, "handled after the cut", 15_000)
    },
  },
]

function abortable(): { signal: AbortSignal; abort(): void } {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}
