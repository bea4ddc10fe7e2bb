import { type Client, sqlState } from "@sluice/core"
import { equal, fail, ok, rejects, rejectsWith } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import type { Isolation } from "../../harness.ts"
import { schema } from "../../open-place.ts"
import { openClient, refuses, stopClock } from "../queue/open-queue.ts"
import { inOwnSavepoint, openEffects } from "../worker/effects.ts"
import { dataOf, mustNext, numberedEvents, openStream, type OpenStream, streamElsewhere, take, takeAll } from "./open-stream.ts"

class RollBack extends Error {}

const commits = (commit: boolean): string => (commit ? "commits, together with the caller's row" : "rolls back never was")

/** Publishing and finishing are part of the caller's transaction. */
const inTransactions: readonly ConformanceCase[] = [true, false].flatMap((commit): ConformanceCase[] => [
  {
    name: `publish and publishBatch in a transaction that ${commits(commit)}`,
    rule: "within",
    async run(context) {
      const { add, seen } = await openEffects(context)
      const { stream, reader } = await openStream(context)
      const work = context.driver.transaction(async (tx) => {
        await add(context.driver, tx, 1)
        await stream.publish("n", 0, { tx })
        await stream.publishBatch(numberedEvents(2, 1), { tx })
        if (!commit) throw new RollBack()
      })
      await (commit ? work : rejects(work, "a rolled-back transaction"))
      equal([await take(reader), await seen()], commit ? [[0, 1, 2], [1]] : [[], []], "events and rows")
    },
  },
  {
    name: `finish, with a retry, in a transaction that ${commits(commit)}`,
    rule: "within",
    async run(context) {
      const { add, seen } = await openEffects(context)
      const { stream, reader } = await openStream(context)
      await stream.publishBatch(numberedEvents(2))
      const batch = await mustNext(reader)
      batch.retry((await batch.list())[1]!, { delay: 0 })
      const work = context.driver.transaction(async (tx) => {
        await add(context.driver, tx, 1)
        await batch.finish({ tx })
        if (!commit) throw new RollBack()
      })
      await (commit ? work : rejects(work, "a rolled-back transaction"))
      equal([await takeAll(reader), await seen()], commit ? [[[1]], [1]] : [[[0, 1]], []], "what comes next, and rows")
    },
  },
])

const whole: readonly ConformanceCase[] = [
  {
    name: "an event of a savepoint that is rolled back never was",
    rule: "savepoint",
    async run(context) {
      const { stream, reader } = await openStream(context)
      await context.driver.transaction(async (tx) => {
        await stream.publish("n", 1, { tx })
        await rejects(inOwnSavepoint(context.driver, tx, async (inner) => {
          await stream.publish("n", 2, { tx: inner })
          throw new RollBack()
        }), "the savepoint")
        await inOwnSavepoint(context.driver, tx, (inner) => stream.publish("n", 3, { tx: inner }))
      })
      equal(await take(reader), [1, 3], "events")
    },
  },
  {
    name: "an event whose transaction commits late is not lost: it comes in a later batch",
    rule: "core",
    needs: ["concurrent"],
    async run(context) {
      const { stream, reader, name } = await openStream(context)
      const elsewhere = await streamElsewhere(context, name)
      const other = elsewhere.subscription("s", { owner: reader.owner })
      await context.driver.transaction(async (tx) => {
        await stream.publish("n", "late", { tx })
        await elsewhere.publish("n", "early")
        equal(await take(other), ["early"], "before the commit")
        equal(await other.nextBatch(), null, "after that, before the commit")
      })
      equal([await take(reader), await reader.nextBatch()], [["late"], null], "after the commit")
    },
  },
  {
    name: "events outlive rotations until their subscription has done with them, and are gone then",
    rule: "core",
    async run(context) {
      await stopClock(context, 0)
      const { client, stream, reader, name } = await openStream(context, { stream: { rotationPeriod: "1m", lagLimit: null } })
      const maintenance = client.maintenance()
      for (const n of [1, 2, 3, 4]) {
        await stream.publish("n", n)
        await stopClock(context, 100 * n)
        await maintenance.run()
      }
      ok((await client.admin.getStreamInfo(name)).segment !== 0, "the stream must have rotated")
      equal((await takeAll(reader)).flat(), [1, 2, 3, 4], "events")
      for (const n of [5, 6, 7]) {
        await stopClock(context, 100 * n)
        await maintenance.run()
      }
      await client.admin.createSubscription(name, "early", { from: "earliest" })
      equal((await takeAll(stream.subscription("early"))).flat(), [], "what is stored then")
    },
  },
]

interface Refused extends OpenStream {
  readonly tx: unknown
}

/** What Sluice refuses in the caller's transaction is an answer, never an error of the server: it inserts and commits afterwards. */
function usableAfter(name: string, prepare: (client: Client, stream: string) => Promise<unknown>, ...refusals: ((joined: Refused) => Promise<unknown>)[]): ConformanceCase {
  return {
    name: `in the caller's transaction: ${name}, and it still inserts and commits`,
    rule: "core",
    async run(context) {
      const { add, seen } = await openEffects(context)
      const opened = await openStream(context)
      await prepare(opened.client, opened.name)
      await context.driver.transaction(async (tx) => {
        for (const [n, refusal] of refusals.entries()) {
          await refusal({ ...opened, tx })
          await add(context.driver, tx, n)
        }
      })
      equal(await seen(), refusals.map((_, n) => n), "what the caller inserted")
    },
  }
}

const nothing = async (): Promise<void> => {}

const refusalCases: readonly ConformanceCase[] = [
  usableAfter(
    "unknown streams and subscriptions",
    nothing,
    ({ client, tx }) => refuses(client.stream("nowhere").publish("n", 1, { tx }), "stream_not_found", { stream: "nowhere" }, "publish"),
    ({ client, tx }) => refuses(client.stream("nowhere").publishBatch(numberedEvents(2), { tx }), "stream_not_found", { stream: "nowhere" }, "publishBatch"),
    ({ client, tx }) => refuses(client.admin.createSubscription("nowhere", "s", { tx }), "stream_not_found", { stream: "nowhere" }, "createSubscription"),
    ({ client, name, tx }) => refuses(client.admin.getSubscriptionInfo(name, "nobody", { tx }), "subscription_not_found", { stream: name, subscription: "nobody" }, "getSubscriptionInfo"),
    ({ client, tx }) => refuses(client.admin.getStream("nowhere", { tx }), "stream_not_found", { stream: "nowhere" }, "getStream"),
  ),
  usableAfter("a closed stream", (client, name) => client.admin.updateStream(name, { closed: true }), ({ stream, name, tx }) => refuses(stream.publish("n", 1, { tx }), "stream_closed", { stream: name }, "publish")),
  usableAfter(
    "more events than a transaction may publish",
    (client, name) => client.admin.updateStream(name, { maxEventsPerTransaction: 2 }),
    ({ stream, name, tx }) => refuses(stream.publishBatch(numberedEvents(3), { tx }), "transaction_limit", { stream: name, limit: 2 }, "publishBatch"),
    async ({ stream, name, tx }) => {
      await stream.publishBatch(numberedEvents(2), { tx })
      await refuses(stream.publish("n", 2, { tx }), "transaction_limit", { stream: name, limit: 2 }, "publish")
    },
  ),
  usableAfter("a queue where a stream is meant", (client, name) => client.admin.createQueue(`${name}.queue`), ({ client, name, tx }) =>
    refuses(client.stream(`${name}.queue`).publish("n", 1, { tx }), "wrong_kind", {}, "publish")),
  {
    name: "in the caller's transaction: a stale batch, and it still inserts and commits",
    rule: "core",
    async run(context) {
      const { add, seen } = await openEffects(context)
      const { stream, reader, name } = await openStream(context)
      await stream.publish("n", 1)
      const batch = await mustNext(reader)
      await batch.finish()
      await context.driver.transaction(async (tx) => {
        await refuses(batch.finish({ tx }), "stale_batch", { stream: name, subscription: "s", batch: batch.id }, "finish")
        await add(context.driver, tx, 1)
      })
      equal(await seen(), [1], "what the caller inserted")
    },
  },
  {
    name: "outside of a transaction: unknown names are told by name from every call",
    rule: "core",
    async run(context) {
      const { client, name, stream } = await openStream(context)
      const nobody = { stream: name, subscription: "nobody" }
      await refuses(stream.subscription("nobody").nextBatch(), "subscription_not_found", nobody, "nextBatch")
      await refuses(client.stream("nowhere").subscription("s").nextBatch(), "stream_not_found", { stream: "nowhere" }, "nextBatch")
      await refuses(client.admin.reposition(name, "nobody", { to: "latest" }), "subscription_not_found", nobody, "reposition")
      await refuses(client.admin.dropStream(name), "stream_in_use", { stream: name, subscriptions: ["s"] }, "dropStream")
      equal([await client.admin.dropSubscription(name, "s"), await client.admin.dropStream(name)], [true, true], "dropped")
      await refuses(stream.publish("n", 1), "stream_not_found", { stream: name }, "publish")
    },
  },
]

function strictCases(level: Isolation): readonly ConformanceCase[] {
  const begin = <T>({ harness }: CaseContext, work: (tx: unknown) => Promise<T>): Promise<T> => harness.begin!(level, work)
  return [
    {
      name: `${level}: publish, publishBatch and finish work, and commit`,
      rule: "isolation",
      needs: ["begin"],
      async run(context) {
        const { stream, reader } = await openStream(context)
        await stream.publishBatch(numberedEvents(2))
        const batch = await mustNext(reader)
        batch.retry((await batch.list())[0]!, { delay: 0 })
        await begin(context, async (tx) => {
          await stream.publish("n", 2, { tx })
          await stream.publishBatch(numberedEvents(2, 3), { tx })
          await batch.finish({ tx })
        })
        equal(await takeAll(reader), [[0], [2, 3, 4]], "what was retried, and what was published")
      },
    },
    {
      name: `${level}: an event of a snapshot older than a rotation is not lost`,
      rule: "isolation",
      needs: ["begin", "concurrent"],
      async run(context) {
        await stopClock(context, 0)
        const { stream, reader, name } = await openStream(context, { stream: { rotationPeriod: "1m" } })
        const { driver } = await context.connect()
        const elsewhere = await openClient(context, {}, driver)
        await begin(context, async (tx) => {
          await context.driver.within(tx).query("select 1")
          await elsewhere.stream(name).publish("n", "new")
          await stopClock({ ...context, exec: (text, values) => driver.query(text, values) }, 100)
          await elsewhere.maintenance().run()
          equal(await take(elsewhere.stream(name).subscription("s", { owner: reader.owner })), ["new"], "before the commit")
          await stream.publish("n", "old snapshot", { tx })
        })
        await stopClock(context, 300)
        await elsewhere.maintenance().run()
        equal(await take(reader), ["old snapshot"], "after the commit")
      },
    },
    {
      name: `${level}: a batch that another took since the snapshot is not finished`,
      rule: "isolation",
      needs: ["begin", "concurrent"],
      async run(context) {
        await stopClock(context, 0)
        const { stream, reader, name } = await openStream(context)
        const { driver } = await context.connect()
        const elsewhere = (await openClient(context, {}, driver)).stream(name)
        await stream.publish("n", 1)
        const batch = await mustNext(reader)
        const taken = await begin(context, async (tx) => {
          await context.driver.within(tx).query("select 1")
          await stopClock({ ...context, exec: (text, values) => driver.query(text, values) }, 31)
          const other = await mustNext(elsewhere.subscription("s", { owner: "another" }))
          const error = await rejects(batch.finish({ tx }), "finish")
          const code = (error as { code?: unknown }).code
          ok(code === "stale_batch" || sqlState(error) === "40001", `a stale batch, or 40001; received ${String(error)}`)
          throw Object.assign(new RollBack(), { other })
        }).catch((error: Error & { other?: typeof batch }) => error.other ?? fail(error.message))
        equal(dataOf(await taken.list()), [1], "what the other holds")
        await taken.finish()
      },
    },
    {
      name: `${level}: next_batch is refused rather than answered from an old snapshot`,
      rule: "isolation",
      needs: ["begin"],
      async run(context) {
        const { stream, reader, name } = await openStream(context)
        await stream.publish("n", 1)
        await rejectsWith(begin(context, (tx) => context.driver.within(tx).query(`select batch::text as batch from ${schema}.next_batch($1::text, 's', 'sql')`, [name])), "SL005", "next_batch")
        equal(await take(reader), [1], "what is read then")
      },
    },
  ]
}

/** What is done in the caller's transaction commits with it, or never was, at every isolation level. */
export const streamJoinedCases: readonly ConformanceCase[] = [...inTransactions, ...whole, ...refusalCases, ...strictCases("repeatable read"), ...strictCases("serializable")]
