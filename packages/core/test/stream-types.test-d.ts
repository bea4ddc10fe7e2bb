import { createClient, type Batch, type EventContext, type EventTransactionContext, type StandardSchema, type Stream, type StreamEvent, type Subscriber } from "@sluice/core"
import { drizzleDriver } from "@sluice/drizzle"
import { pgDriver } from "@sluice/pg"
import { postgresJsDriver } from "@sluice/postgres-js"
import { drizzle } from "drizzle-orm/node-postgres"
import { Pool, type PoolClient } from "pg"
import postgres, { type TransactionSql } from "postgres"
import { expectTypeOf, test } from "vitest"

declare const Paid: StandardSchema<{ cents: number; at?: string }, { cents: bigint; at: Date }>
declare const Shipped: StandardSchema<{ to: string }, { to: string }>

const pool = new Pool()
const sql = postgres()
const db = drizzle({ client: pool })
const client = createClient(pgDriver(pool))
const overPostgresJs = createClient(postgresJsDriver(sql))
const overDrizzle = createClient(drizzleDriver(db))

const orders = client.stream("orders", { events: { "order.paid": Paid, "order.shipped": Shipped } })
const untyped = client.stream("orders")

test("publish takes the input of the schema of its type, and no type that there is not", () => {
  expectTypeOf(orders.publish).parameter(0).toEqualTypeOf<"order.paid" | "order.shipped">()
  void orders.publish("order.paid", { cents: 1 }, { key: "k", headers: { a: 1 }, extra: ["x", null] })
  void orders.publishBatch([{ type: "order.paid", data: { cents: 1 } }, { type: "order.shipped", data: { to: "x" }, key: "k" }])
  // @ts-expect-error: no such event
  void orders.publish("order.lost", {})
  // @ts-expect-error: the data of another
  void orders.publish("order.paid", { to: "x" })
  // @ts-expect-error: the output is not the input
  void orders.publish("order.paid", { cents: 1n, at: new Date() })
  // @ts-expect-error: no such event in a batch
  void orders.publishBatch([{ type: "order.lost", data: {} }])
  // @ts-expect-error: the data of another in a batch
  void orders.publishBatch([{ type: "order.shipped", data: { cents: 1 } }])
  // @ts-expect-error: an item carries its data
  void orders.publishBatch([{ type: "order.shipped" }])
  // @ts-expect-error: unknown option
  void orders.publish("order.paid", { cents: 1 }, { delay: "1s" })
})

test("the type of an event narrows its data to the output of the schema", async () => {
  const batch = (await orders.subscription("s").nextBatch())!
  expectTypeOf(batch.id).toEqualTypeOf<string>()
  for await (const event of batch.events()) {
    expectTypeOf(event.type).toEqualTypeOf<"order.paid" | "order.shipped">()
    if (event.type === "order.paid") expectTypeOf(event.data).toEqualTypeOf<{ cents: bigint; at: Date }>()
    else expectTypeOf(event.data).toEqualTypeOf<{ to: string }>()
    // @ts-expect-error: not before the type is known
    void event.data.cents
    // @ts-expect-error: no such type
    void (event.type === "order.lost")
  }
  for await (const event of orders.subscription("s").events()) {
    switch (event.type) {
      case "order.paid":
        expectTypeOf(event.data.cents).toEqualTypeOf<bigint>()
        break
      case "order.shipped":
        expectTypeOf(event.data.to).toEqualTypeOf<string>()
        break
      default:
        expectTypeOf(event).toEqualTypeOf<never>()
    }
  }
  for await (const one of orders.subscription("s", { member: true }).batches({ signal: AbortSignal.timeout(1), maxEvents: 5 })) {
    const [first] = await one.list()
    if (first?.type === "order.shipped") expectTypeOf(first.data.to).toEqualTypeOf<string>()
  }
})

test("without schemas any type goes, and the data is unknown", () => {
  expectTypeOf(untyped).toEqualTypeOf<Stream<Readonly<Record<string, { readonly input: unknown; readonly output: unknown }>>, PoolClient>>()
  void untyped.publish("anything", { at: "all" })
  expectTypeOf(untyped.subscription("s").nextBatch).returns.resolves.toEqualTypeOf<Batch<Readonly<Record<string, { readonly input: unknown; readonly output: unknown }>>, PoolClient> | null>()
  client.subscriber("orders", "s", { anything: ({ data }) => expectTypeOf(data).toEqualTypeOf<unknown>(), "*": (event) => expectTypeOf(event.type).toEqualTypeOf<string>() })
  client.subscriber(untyped, "s", (event) => expectTypeOf(event).toEqualTypeOf<StreamEvent>())
})

test("handlers by type, by * and as one function", () => {
  const subscriber = client.subscriber(orders, "s", {
    "order.paid": ({ type, data }, context) => {
      expectTypeOf(type).toEqualTypeOf<"order.paid">()
      expectTypeOf(data).toEqualTypeOf<{ cents: bigint; at: Date }>()
      expectTypeOf(context).toEqualTypeOf<EventContext>()
    },
    "*": (event) => {
      if (event.type === "order.shipped") expectTypeOf(event.data.to).toEqualTypeOf<string>()
    },
  })
  expectTypeOf(subscriber).toEqualTypeOf<Subscriber>()
  client.subscriber(orders, "s", async (event) => {
    if (event.type === "order.paid") expectTypeOf(event.data.cents).toEqualTypeOf<bigint>()
  })
  // @ts-expect-error: no such event
  client.subscriber(orders, "s", { "order.lost": () => {} })
  // @ts-expect-error: no function
  client.subscriber(orders, "s", { "order.paid": 7 })
  // @ts-expect-error: the data of another
  client.subscriber(orders, "s", { "order.paid": (event: { data: { to: string } }) => event.data.to })
})

test("a handler has the library's own transaction where it is transactional, and else none", () => {
  client.subscriber(orders, "s", { "order.paid": (_, context) => expectTypeOf(context).toEqualTypeOf<EventTransactionContext<PoolClient>>() }, { transactional: true })
  client.subscriber(orders, "s", (_, { tx }) => expectTypeOf(tx).toEqualTypeOf<PoolClient>(), { transactional: true, members: 2, maxEvents: 10 })
  overPostgresJs.subscriber("orders", "s", (_, { tx }) => expectTypeOf(tx).toEqualTypeOf<TransactionSql>(), { transactional: true })
  overDrizzle.subscriber("orders", "s", async (_, { tx }) => expectTypeOf(tx.rollback).returns.toEqualTypeOf<never>(), { transactional: true })
  client.subscriber(orders, "s", { "*": (_, { tx }) => tx.query("select 1") }, { transactional: true })
  // @ts-expect-error: no transaction
  client.subscriber(orders, "s", (_, { tx }) => tx)
  // @ts-expect-error: no transaction either
  client.subscriber(orders, "s", (_, { tx }) => tx, { transactional: false })
  const needs = (_: unknown, { tx }: EventTransactionContext<PoolClient>): unknown => tx
  client.subscriber(orders, "s", needs, { transactional: true })
  // @ts-expect-error: nor for one that is made elsewhere
  client.subscriber(orders, "s", { "*": needs })
  // @ts-expect-error: the stream of another library
  overPostgresJs.subscriber(orders, "s", () => {}, { transactional: true })
})

test("tx is the library's own transaction", async () => {
  void client.transaction((tx) => orders.publish("order.shipped", { to: "x" }, { tx }))
  void sql.begin((tx) => overPostgresJs.stream("orders").publish("x", 1, { tx }))
  void db.transaction((tx) => overDrizzle.stream("orders").publish("x", 1, { tx }))
  const batch = (await untyped.subscription("s").nextBatch())!
  void client.transaction((tx) => batch.finish({ tx }))
  // @ts-expect-error: a pool is no transaction
  void untyped.publish("x", 1, { tx: pool })
  // @ts-expect-error: nor here
  void untyped.publishBatch([{ type: "x", data: 1 }], { tx: pool })
  // @ts-expect-error: nor here
  void batch.finish({ tx: pool })
  // @ts-expect-error: the client is no transaction
  void overPostgresJs.stream("orders").publish("x", 1, { tx: sql })
  // @ts-expect-error: the database is no transaction
  void overDrizzle.stream("orders").publish("x", 1, { tx: db })
  // @ts-expect-error: the transaction of another library
  void client.transaction((tx) => overPostgresJs.stream("orders").publish("x", 1, { tx }))
})

test("what a subscriber tells is typed, and its options are", () => {
  const subscriber = client.subscriber(orders, "s", () => {}, { members: 2, concurrency: 3, timeout: "1m", backoff: (attempt) => `${attempt}s`, onInvalid: "raise", maxWait: "1s" })
  subscriber.on("done", ({ event }) => expectTypeOf(event).toEqualTypeOf<StreamEvent>())
  subscriber.on("finished", (told) => expectTypeOf(told).toEqualTypeOf<{ readonly id: string; readonly count: number; readonly ms: number }>())
  // @ts-expect-error: nothing of this name is told
  subscriber.on("finish", () => {})
  // @ts-expect-error: thirty what?
  client.subscriber(orders, "s", () => {}, { timeout: 30 })
  // @ts-expect-error: an option of workers
  client.subscriber(orders, "s", () => {}, { prefetch: 3 })
  // @ts-expect-error: no schema
  void client.stream("x", { events: { a: "no schema" } })
})
