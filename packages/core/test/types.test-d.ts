import { createClient, type MessageContext, type Message, outcome, type StandardSchema } from "@sluice/core"
import { drizzleDriver } from "@sluice/drizzle"
import { pgDriver } from "@sluice/pg"
import { postgresJsDriver } from "@sluice/postgres-js"
import { drizzle } from "drizzle-orm/node-postgres"
import { Pool, type PoolClient } from "pg"
import postgres from "postgres"
import { expectTypeOf, test } from "vitest"

declare const OrderPaid: StandardSchema<{ id: number }>
declare const Email: StandardSchema<{ to: string; at?: string }, { to: string; at: Date }>

const pool = new Pool()
const sql = postgres()
const db = drizzle({ client: pool })
const overPg = createClient(pgDriver(pool))
const overPostgresJs = createClient(postgresJsDriver(sql))
const overDrizzle = createClient(drizzleDriver(db))

test("a schema's input is what is sent, its output what is read", () => {
  const emails = overPg.queue("emails", { payload: Email })
  expectTypeOf(emails.send).parameter(0).toEqualTypeOf<{ to: string; at?: string }>()
  expectTypeOf(emails.read).returns.resolves.toEqualTypeOf<Message<{ to: string; at: Date }> | null>()
  // @ts-expect-error: no such payload
  void emails.send({ to: 7 })
  // @ts-expect-error: an item of a batch carries its payload
  void emails.sendBatch([{ to: "a" }])
})

test("each type of event has its schema: its input is what is published, its output what is read", () => {
  const orders = overPg.stream("orders", { events: { "email.due": Email, "order.paid": OrderPaid } })
  void orders.publish("email.due", { to: "a" })
  void orders.publishBatch([{ type: "order.paid", data: { id: 7 } }])
  // @ts-expect-error: the data of another type
  void orders.publish("order.paid", { to: "a" })
  // @ts-expect-error: no such type
  void orders.publish("order.lost", { id: 7 })
  overPg.subscriber(orders, "mail", { "email.due": ({ data }) => expectTypeOf(data).toEqualTypeOf<{ to: string; at: Date }>() })
  overPg.subscriber(orders, "mail", (event) => {
    if (event.type === "order.paid") expectTypeOf(event.data).toEqualTypeOf<{ id: number }>()
  })
})

test("without a schema the type is taken on trust", () => {
  const numbers = overPg.queue<{ n: number }>("numbers")
  expectTypeOf(numbers.read).returns.resolves.toEqualTypeOf<Message<{ n: number }> | null>()
  expectTypeOf(overPg.queue("any").read).returns.resolves.toEqualTypeOf<Message | null>()
})

test("tx is the library's own transaction", () => {
  void overPg.transaction(async (tx) => expectTypeOf(tx).toEqualTypeOf<PoolClient>())
  const jobs = overPostgresJs.queue("jobs")
  void sql.begin((tx) => jobs.send(1, { tx }))
  void db.transaction((tx) => overDrizzle.queue("jobs").send(1, { tx }))
  // @ts-expect-error: a pool is no transaction
  void overPg.queue("jobs").send(1, { tx: pool })
  // @ts-expect-error: the client is no transaction
  void jobs.send(1, { tx: sql })
  // @ts-expect-error: the database is no transaction
  void overDrizzle.queue("jobs").send(1, { tx: db })
  // @ts-expect-error: the transaction of another library
  void overPg.transaction((tx) => jobs.send(1, { tx }))
})

test("what waits takes no transaction", () => {
  // @ts-expect-error: readWithPoll holds no connection while it waits
  void overPg.queue("jobs").readWithPoll({ tx: {} as PoolClient })
})

test("a duration has a unit", () => {
  const jobs = overPg.queue("jobs")
  void jobs.read({ lease: "30s" })
  void jobs.send(1, { delay: 0 })
  // @ts-expect-error: thirty what?
  void jobs.read({ lease: 30 })
  // @ts-expect-error: no such unit
  void jobs.send(1, { delay: "3 weeks" })
})

test("an option that there is not", () => {
  // @ts-expect-error: unknown option
  void overPg.queue("jobs").send(1, { deduplicate: "once" })
})

test("a schedule has either a pattern or an interval", () => {
  const { schedules } = overPg
  void schedules.upsert("s", { queue: "q", cron: "@daily", timezone: "Europe/Berlin", payload: { a: [1] } })
  void schedules.preview({ every: "1h" })
  // @ts-expect-error: both
  void schedules.upsert("s", { queue: "q", cron: "@daily", every: "1h" })
  // @ts-expect-error: neither
  void schedules.upsert("s", { queue: "q" })
  // @ts-expect-error: an interval has no zone
  void schedules.upsert("s", { queue: "q", every: "1h", timezone: "UTC" })
  // @ts-expect-error: a message for which queue?
  void schedules.upsert("s", { cron: "@daily" })
  // @ts-expect-error: a pool is no transaction
  void schedules.pause("s", { tx: pool })
})

/** What Drizzle hands to the callback of `db.transaction`. */
type DrizzleTx = Parameters<Parameters<typeof db.transaction>[0]>[0]

test("a handler's message is the schema's output, its tx the library's own", () => {
  const emails = overPg.queue("emails", { payload: Email })
  type Read = Message<{ to: string; at: Date }>
  emails.handler((message, context) => {
    expectTypeOf(message).toEqualTypeOf<Read>()
    expectTypeOf(context).toEqualTypeOf<MessageContext>()
    expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>()
  })
  emails.handler((message, { tx }) => {
    expectTypeOf(message).toEqualTypeOf<Read>()
    expectTypeOf(tx).toEqualTypeOf<PoolClient>()
  }, { transactional: true, batch: 10 })
  emails.batchHandler((messages, { tx }) => {
    expectTypeOf(messages).toEqualTypeOf<readonly Read[]>()
    expectTypeOf(tx).toEqualTypeOf<PoolClient>()
  }, { size: 10, transactional: true })
  void emails.work((message, { tx }) => {
    expectTypeOf(message).toEqualTypeOf<Read>()
    expectTypeOf(tx).toEqualTypeOf<PoolClient>()
  }, { transactional: true, concurrency: 2, prefetch: 1 })
  overPostgresJs.queue("jobs").handler((_message, { tx }) => expectTypeOf(tx).toEqualTypeOf<postgres.TransactionSql>(), { transactional: true })
  void overPostgresJs.queue("jobs").work((_message, { tx }) => expectTypeOf(tx).toEqualTypeOf<postgres.TransactionSql>(), { transactional: true })
  overDrizzle.queue("jobs").handler((_message, { tx }) => expectTypeOf(tx).toEqualTypeOf<DrizzleTx>(), { transactional: true })
  overDrizzle.queue("jobs").batchHandler((_messages, { tx }) => expectTypeOf(tx).toEqualTypeOf<DrizzleTx>(), { size: 2, transactional: true })
})

test("without a transaction there is no tx", () => {
  const jobs = overPg.queue("jobs")
  // @ts-expect-error: not transactional
  jobs.handler((_message, { tx }) => tx)
  // @ts-expect-error: not transactional
  jobs.handler((_message, { tx }) => tx, { transactional: false })
  // @ts-expect-error: not transactional
  jobs.batchHandler((_messages, { tx }) => tx, { size: 2 })
  // @ts-expect-error: not transactional
  void jobs.work((_message, { tx }) => tx, { concurrency: 2 })
})

test("options of workers and handlers are known ones", () => {
  const jobs = overPg.queue("jobs")
  // @ts-expect-error: no such option
  jobs.handler(() => {}, { retries: 3 })
  // @ts-expect-error: no such option
  jobs.handler(() => {}, { transactional: true, size: 3 })
  // @ts-expect-error: a batch handler has a size
  jobs.batchHandler(() => {}, {})
  // @ts-expect-error: its size is its batch
  jobs.batchHandler(() => {}, { size: 2, batch: 2 })
  // @ts-expect-error: no such option
  void jobs.work(() => {}, { polling: true })
  // @ts-expect-error: ten what?
  jobs.handler(() => {}, { timeout: 10 })
  // @ts-expect-error: no such option
  overPg.worker([jobs.handler(() => {})], { transactional: true })
})

test("a worker takes the handlers of its own client", () => {
  overPg.worker([overPg.queue("a", { payload: Email }).handler(() => {}), overPg.queue("b").batchHandler(() => {}, { size: 2 })])
  const other = overPostgresJs.queue("jobs").handler((_message, { tx }) => void tx, { transactional: true })
  // @ts-expect-error: the transaction of another library
  overPg.worker([other])
  // @ts-expect-error: the transaction of another library
  overDrizzle.worker([other])
})

test("what a worker tells is typed", () => {
  const worker = overPg.worker([overPg.queue("jobs").handler(() => {})])
  worker.on("done", (event) => expectTypeOf(event).toEqualTypeOf<{ readonly message: Message; readonly ms: number }>())
  worker.on("retry", ({ visibleAt, error }) => {
    expectTypeOf(visibleAt).toEqualTypeOf<Date>()
    expectTypeOf(error).toEqualTypeOf<unknown>()
  })
  worker.on("error", ({ queue }) => expectTypeOf(queue).toEqualTypeOf<string | undefined>())
  expectTypeOf(worker.on("stopped", () => {})).toEqualTypeOf<() => void>()
  // @ts-expect-error: no such event
  worker.on("finished", () => {})
  // @ts-expect-error: done has no error
  worker.on("done", ({ error }) => error)
})

test("outcomes are made with durations", () => {
  overPg.queue("jobs").handler(() => outcome.snooze("5m"))
  // @ts-expect-error: five what?
  outcome.snooze(5)
  // @ts-expect-error: no such option
  outcome.retry({ after: "5m" })
})

test("once returns what its work does, in a transaction of the library", () => {
  void overPg.transaction(async (tx) => {
    const { ran, value } = await overPg.once(tx, "charge", async (inner) => {
      expectTypeOf(inner).toEqualTypeOf<PoolClient>()
      return { id: "ch_1" }
    })
    expectTypeOf(ran).toEqualTypeOf<boolean>()
    expectTypeOf(value).toEqualTypeOf<{ id: string }>()
  })
  void sql.begin((tx) => overPostgresJs.once(tx, "charge", (inner) => inner`select 1`))
  // @ts-expect-error: a pool is no transaction
  void overPg.once(pool, "charge", () => 1)
  // @ts-expect-error: thirty what?
  void overPg.transaction((tx) => overPg.once(tx, "charge", () => 1, { keep: 30 }))
})
