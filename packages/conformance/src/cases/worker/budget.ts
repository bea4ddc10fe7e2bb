import type { Driver, Handler, Queue } from "@sluice/core"
import { equal, ok } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import type { WireCost } from "../../wire-tap.ts"
import { borrowed, openClient, openQueue } from "../queue/open-queue.ts"
import { numbered, openWorker } from "./open-worker.ts"

interface Load {
  readonly messages: number
  readonly concurrency: number
  readonly handler: (queue: Queue) => Handler
}

interface WorkCost extends WireCost {
  /** Claims that found something; how often it looks in vain is a matter of time. */
  readonly claims: number
}

/** What a worker sends from start to stop, for messages whose handler does nothing. */
async function costOf(context: CaseContext, { messages, concurrency, handler }: Load): Promise<WorkCost> {
  const { driver } = await context.connect({ max: concurrency + 1 })
  let claims = 0
  const counting: Driver = {
    ...borrowed(driver),
    query: async <Row>(...[text, values, options]: Parameters<Driver["query"]>): Promise<Row[]> => {
      const rows = await driver.query<Row>(text, values, options)
      if (text.includes(".try_read(") && rows.length > 0) claims++
      return rows
    },
  }
  const client = await openClient(context, { listen: false, notify: false }, counting)
  const queue = client.queue((await openQueue(context)).name)
  const drained = async (count: number): Promise<WireCost> => {
    await queue.sendBatch(numbered(count))
    claims = 0
    const { worker, told } = openWorker(context, client, [handler(queue)], { concurrency })
    const cost = await context.tap.measure(() => worker.drain())
    equal([told("done").length, told("error")], [count, []], "done, and errors")
    return cost
  }
  // Connections are open, and what a driver looks up once is known.
  await drained(2 * concurrency)
  const cost = await drained(messages)
  return { ...cost, claims }
}

/** How many of the statements call a function of core's. */
const calls = ({ statements }: WireCost, name: string): number => statements.filter((text) => text.includes(`.${name}(`)).length

/** What work costs on the wire, counted. */
export const workerBudgetCases: readonly ConformanceCase[] = [
  {
    name: "a worker claims and settles many messages with one statement each",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const cost = await costOf(context, { messages: 300, concurrency: 50, handler: (queue) => queue.handler(() => undefined) })
      context.record("worker, 300 messages, 50 at once", cost)
      ok(cost.claims <= 9, `at most 9 claims for 300 messages, 50 at once; received ${cost.claims}`)
      const settles = calls(cost, "try_finish")
      ok(settles <= 9, `at most 9 settles for 300 messages, 50 at once; received ${settles}`)
    },
  },
  {
    name: "a worker whose handlers are shorter than a beat sends one beat, its claims, its settles and its leave",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const cost = await costOf(context, { messages: 5, concurrency: 1, handler: (queue) => queue.handler(() => undefined) })
      equal([calls(cost, "beat"), calls(cost, "leave_worker"), cost.claims], [1, 1, 5], "beats, leaves and claims that found a message")
      const settles = calls(cost, "try_finish")
      ok(settles >= 1 && settles <= 5, `at most a settle for each message, received ${settles}`)
      equal(cost.statements.length, calls(cost, "try_read") + settles + 2, `all else are claims and settles: ${cost.statements.join("; ")}`)
    },
  },
  {
    name: "a batch handler's messages are claimed and settled together",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const cost = await costOf(context, { messages: 40, concurrency: 1, handler: (queue) => queue.batchHandler(() => undefined, { size: 20 }) })
      equal([cost.claims, calls(cost, "try_finish")], [2, 2], "claims and settles of two calls")
    },
  },
  {
    name: "a transactional handler costs its lock and its settle, in one transaction",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const cost = await costOf(context, { messages: 4, concurrency: 1, handler: (queue) => queue.handler(() => undefined, { transactional: true }) })
      equal([calls(cost, "try_lock"), calls(cost, "try_finish"), cost.claims], [4, 4, 4], "locks, settles and claims")
      const control = cost.statements.filter((text) => /^\s*(begin|start|commit|end)\b/i.test(text)).length
      equal(control, 8, `begins and commits: ${cost.statements.join("; ")}`)
    },
  },
  {
    name: "a worker without maintenance sends none of it; one with it does",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const { queue, client } = await openQueue(context)
      for (const maintenance of [false, true]) {
        const { worker, tells } = openWorker(context, client, [client.queue(queue.name).handler(() => undefined)], { maintenance })
        const { statements } = await context.tap.measure(async () => {
          await worker.start()
          await tells("idle", 2)
          await worker.stop()
        })
        equal(statements.some((text) => text.includes(".maintain(")), maintenance, `maintained, with maintenance: ${maintenance}; ${statements.join("; ")}`)
      }
    },
  },
]
