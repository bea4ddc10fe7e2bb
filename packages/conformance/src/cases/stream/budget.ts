import type { Batch, Client, Driver, Stream } from "@sluice/core"
import { equal, ok } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import type { WireCost } from "../../wire-tap.ts"
import { openClient } from "../queue/open-queue.ts"
import { mustNext, numberedEvents, openStream } from "./open-stream.ts"

interface Warm {
  readonly driver: Driver
  readonly client: Client
  readonly stream: Stream
}

/** Makes what an operation needs, and answers with what is to be measured. */
type Operation = (warm: Warm) => Promise<() => Promise<unknown>>

const onBatch = (run: (batch: Batch) => Promise<unknown>): Operation => async ({ stream }) => {
  await stream.publishBatch(numberedEvents(100))
  const batch = await mustNext(stream.subscription("s"))
  return () => run(batch)
}

const operations: { readonly [name: string]: Operation } = {
  publish: async ({ stream }) => () => stream.publish("n", { n: 1 }, { key: "k", headers: { h: 1 } }),
  "publishBatch of 100": async ({ stream }) => () => stream.publishBatch(numberedEvents(100)),
  "nextBatch with its 100 events": async ({ stream }) => {
    const before = await stream.subscription("s").nextBatch()
    await before?.finish()
    await stream.publishBatch(numberedEvents(100))
    return async () => equal((await (await mustNext(stream.subscription("s"))).list()).length, 100, "events")
  },
  "nextBatch of nothing": async ({ stream }) => {
    const before = await stream.subscription("s").nextBatch()
    await before?.finish()
    return async () => equal(await stream.subscription("s").nextBatch(), null, "a batch")
  },
  finish: onBatch((batch) => batch.finish()),
  "finish with a retry": onBatch(async (batch) => {
    batch.retry((await batch.list())[0]!, { delay: "1h" })
    return batch.finish()
  }),
  "batch.renew": onBatch((batch) => batch.renew()),
  "batch.release": onBatch((batch) => batch.release()),
}

/** A client on one connection, without the wake that follows a publish. */
async function openWarm(context: CaseContext): Promise<Warm> {
  const { driver } = await context.connect({ max: 1 })
  const { name } = await openStream(context)
  const client = await openClient(context, { notify: false, listen: false }, driver)
  return { driver, client, stream: client.stream(name) }
}

/** The third of three runs: what a driver parses, describes or looks up once is done. */
async function measureThird(context: CaseContext, operation: Operation, warm: Warm): Promise<WireCost> {
  for (let n = 0; n < 2; n++) await (await operation(warm))()
  return context.tap.measure(await operation(warm))
}

const calls = ({ statements }: WireCost, name: string): number => statements.filter((text) => text.includes(`.${name}(`)).length

/** What streams cost on the wire, counted. */
export const streamBudgetCases: readonly ConformanceCase[] = [
  ...Object.entries(operations).flatMap(([name, operation]): ConformanceCase[] => [
    {
      name: `${name}: one statement`,
      rule: "budget",
      needs: ["tap"],
      async run(context) {
        const cost = await measureThird(context, operation, await openWarm(context))
        context.record(name, cost)
        equal([cost.statements.length, cost.completed], [1, 1], `statements, asked and answered: ${cost.statements.join("; ")}`)
      },
    },
    {
      name: `${name}: one round trip`,
      rule: "budget",
      needs: ["tap", "prepare"],
      async run(context) {
        const cost = await measureThird(context, operation, await openWarm(context))
        equal(cost.roundTrips, 1, `round trips of ${cost.statements.join("; ")}`)
      },
    },
  ]),
  {
    name: "in the caller's transaction publish and finish add one statement each",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const { driver, stream } = await openWarm(context)
      let batch: Batch | undefined
      const work = (joined: boolean): Promise<void> => driver.transaction(async (tx) => {
        if (!joined) return
        await stream.publish("n", 1, { tx })
        await batch!.finish({ tx })
      })
      const prepare = async (): Promise<void> => {
        await stream.publish("n", 1)
        batch = await mustNext(stream.subscription("s"))
      }
      for (const joined of [true, false, true]) {
        await prepare()
        await work(joined)
      }
      await prepare()
      const empty = await context.tap.measure(() => work(false))
      const cost = await context.tap.measure(() => work(true))
      context.record("publish and finish in a transaction", cost)
      equal(cost.statements.length - empty.statements.length, 2, `statements: ${cost.statements.join("; ")}`)
    },
  },
  {
    name: "a batch of three chunks: one statement more for each after the first",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const { stream } = await openWarm(context)
      const drain = async (): Promise<void> => {
        const batch = await mustNext(stream.subscription("s"), { chunk: 10 })
        equal((await batch.list()).length, 30, "events")
        await batch.finish()
      }
      for (let n = 0; n < 2; n++) {
        await stream.publishBatch(numberedEvents(30))
        await drain()
      }
      await stream.publishBatch(numberedEvents(30))
      const cost = await context.tap.measure(drain)
      equal([calls(cost, "try_next_batch"), calls(cost, "try_batch_events"), calls(cost, "try_finish_batch"), cost.statements.length], [1, 2, 1, 4], `next, chunks, finish and all: ${cost.statements.join("; ")}`)
    },
  },
  {
    name: "a subscriber costs two statements a batch, and one for each look that finds nothing",
    rule: "budget",
    needs: ["tap"],
    async run(context) {
      const { client, stream } = await openWarm(context)
      let idle = 0
      const drain = async (): Promise<void> => {
        idle = 0
        const subscriber = client.subscriber(stream, "s", () => undefined, { maintenance: false, maxEvents: 10 })
        subscriber.on("idle", () => void idle++)
        await subscriber.drain()
      }
      await stream.publishBatch(numberedEvents(10))
      await drain()
      await stream.publishBatch(numberedEvents(50))
      const cost = await context.tap.measure(drain)
      context.record("subscriber, 5 batches of 10", cost)
      ok(idle >= 1, "it must have looked in vain")
      equal([calls(cost, "try_finish_batch"), calls(cost, "try_next_batch") - idle], [5, 5], "finishes, and looks that found a batch")
      equal(cost.statements.length, 10 + idle + 1, `all else is the look at what is there, at the start: ${cost.statements.join("; ")}`)
    },
  },
]
