import { createClient, PayloadInvalidError, type StandardSchema, StreamClosedError, StreamNotFoundError, type StreamOptions, TransactionLimitError, WrongKindError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { Client as Connection, type PoolClient } from "pg"
import { afterAll, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { freshStream, reading } from "./helpers/recorded.ts"

const { client, pool, url, freshQueue } = await harness()

const types = async ({ news }: { news(): Promise<{ type: string }[]> }): Promise<string[]> => (await news()).map(({ type }) => type)

describe("an event", () => {
  test("is read as it was published, with what was said beside its data", async () => {
    const { name, news } = await freshStream(client)
    const data = { a: [1, "é😀", null, { b: false }], big: 1e300 }
    const id = await client.stream(name).publish("order.paid", data, { key: "k", headers: { trace: "t", n: [1] }, extra: ["x", null, ""] })
    expect(await news()).toEqual([
      {
        id, stream: name, type: "order.paid", data, key: "k", headers: { trace: "t", n: [1] }, extra: ["x", null, "", null], publishedAt: expect.any(Date), attempt: 1,
        idempotencyKey: expect.stringContaining(`-e${id}-`),
      },
    ])
  })

  test.each<[string, unknown]>([["null", null], ["a text", "x"], ["an empty text", ""], ["a number", -0.5], ["false", false], ["an array", []], ["an object", {}], ["what JSON leaves out", { a: undefined }]])(
    "may hold %s, and nothing beside it", async (_, data) => {
      const { name, news } = await freshStream(client)
      await client.stream(name).publish("t", data)
      expect(await news()).toMatchObject([{ data: JSON.parse(JSON.stringify(data)), key: null, headers: {}, extra: [null, null, null, null] }])
    })

  test("has a type and a key of the longest that there may be, in any letters", async () => {
    const { name, news } = await freshStream(client)
    const [type, key] = ["😀".repeat(127), "ü".repeat(500)]
    await client.stream(name).publish(type, 1, { key, extra: ["'; drop table x --", "\n\t\\", "x".repeat(100_000), "%s"] })
    await client.stream(name).publish("__proto__", 2, { key: "" })
    expect(await news()).toMatchObject([{ type, key, extra: ["'; drop table x --", "\n\t\\", "x".repeat(100_000), "%s"] }, { type: "__proto__", key: "" }])
  })

  test("may be of 8 MiB, which is the limit unless the client says another", async () => {
    const { name, news } = await freshStream(client)
    const data = "x".repeat(8 * 1024 * 1024 - 2)
    await client.stream(name).publish("t", data)
    expect(await errorOf(client.stream(name).publish("t", `${data}x`))).toMatchObject({ code: "payload_too_large" })
    expect((await news()).map(({ data }) => (data as string).length)).toEqual([data.length])
  })
})

describe("a batch", () => {
  test("keeps its order, and answers the ids in it", async () => {
    const { name, news } = await freshStream(client)
    const ids = await client.stream(name).publishBatch(Array.from({ length: 1500 }, (_, i) => ({ type: `t${i}`, data: i, key: String(i), extra: [`x${i}`] })))
    expect(ids.map(BigInt)).toEqual(ids.map(BigInt).sort((a, b) => (a < b ? -1 : 1)))
    expect((await news()).map(({ id, type, data, key, extra }) => [id, type, data, key, extra[0]])).toEqual(ids.map((id, i) => [id, `t${i}`, i, String(i), `x${i}`]))
  })

  test("of nothing is nothing, also where there is no stream", async () => {
    expect(await client.stream("nowhere").publishBatch([])).toEqual([])
  })

  test("is published wholly or not at all", async () => {
    const { name, news } = await freshStream(client, { maxEventsPerTransaction: 3 })
    const item = { type: "t", data: 1 }
    expect(await errorOf(client.stream(name).publishBatch([item, item, item, item]))).toBeInstanceOf(TransactionLimitError)
    expect(await errorOf(client.stream(name).publishBatch([item, { type: "t", data: 1n }]))).toMatchObject({ path: "data", index: 1 })
    expect(await news()).toEqual([])
    expect(await client.stream(name).publishBatch([item, item, item])).toHaveLength(3)
  })
})

/** Takes numbers as texts; what readers get is the number. */
const amount: StandardSchema<string, { amount: number }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: async (value) => (typeof value === "string" && /^\d+$/.test(value) ? { value: { amount: Number(value) } } : { issues: [{ message: "no amount", path: ["deep", { key: 0 }] }] }),
  },
}

describe("a schema", () => {
  test("checks the input, which is stored; what readers get is its output", async () => {
    const { name, news } = await freshStream(client)
    const typed = client.stream(name, { events: { paid: amount } })
    await typed.publish("paid", "12")
    expect(await news()).toMatchObject([{ data: "12" }])
    await typed.publishBatch([{ type: "paid", data: "13" }])
    const batch = await typed.subscription("test").nextBatch()
    expect((await batch!.list()).map(({ data }) => data.amount)).toEqual([13])
  })

  test("that refuses what is published names the way to it and the item; nothing is published", async () => {
    const { name, news } = await freshStream(client)
    const typed = client.stream(name, { events: { paid: amount } })
    const error = await errorOf<PayloadInvalidError>(typed.publish("paid", "x"))
    expect(error).toBeInstanceOf(PayloadInvalidError)
    expect(error).toMatchObject({ path: "data.deep[0]", issues: [{ message: "no amount" }] })
    expect(await errorOf(typed.publishBatch([{ type: "paid", data: "1" }, { type: "paid", data: "y" }]))).toMatchObject({ path: "data.deep[0]", index: 1 })
    expect(await errorOf(typed.publish("sold" as "paid", "1"))).toMatchObject({ code: "invalid_option", field: "type" })
    expect(await errorOf(typed.publish("toString" as "paid", "1"))).toMatchObject({ field: "type" })
    expect(await errorOf(typed.publishBatch([{ type: "sold" as "paid", data: "1" }]))).toMatchObject({ field: "items[0].type" })
    expect(await news()).toEqual([])
  })

  test("that refuses what is stored tells so at the event, which is as it was stored; types without one are as they are", async () => {
    const { name } = await freshStream(client)
    await client.stream(name).publishBatch([{ type: "paid", data: "x" }, { type: "sold", data: { n: 1 } }])
    const batch = await client.stream(name, { events: { paid: amount } }).subscription("test").nextBatch()
    expect(await batch!.list()).toMatchObject([{ type: "paid", data: "x", invalid: [{ message: "no amount" }] }, { type: "sold", data: { n: 1 } }])
  })
})

describe("publish in the caller's transaction", () => {
  test.each(["read committed", "repeatable read", "serializable"])("at %s is there at the commit, or never was", async (level) => {
    const stream = await freshStream(client)
    const begin = `begin isolation level ${level}`
    const publish = (type: string) => (tx: PoolClient) => client.stream(stream.name).publish(type, 1, { tx })
    await inTransaction(pool, publish("gone"), { begin, end: "rollback" })
    await inTransaction(pool, async (tx) => {
      await publish("kept")(tx)
      await client.stream(stream.name).publishBatch([{ type: "also", data: 1 }], { tx })
      expect(await types(stream)).toEqual([])
    }, { begin })
    expect(await types(stream)).toEqual(["kept", "also"])
  })

  test("goes with the savepoint that it was in", async () => {
    const stream = await freshStream(client)
    const { publish } = client.stream(stream.name)
    await inTransaction(pool, async (tx) => {
      await publish("a", 1, { tx })
      await tx.query("savepoint s")
      await publish("b", 1, { tx })
      await tx.query("rollback to s")
      await publish("c", 1, { tx })
      await tx.query("savepoint s")
      await publish("d", 1, { tx })
      await tx.query("release s")
    })
    expect(await types(stream)).toEqual(["a", "c", "d"])
  })

  test("in one that has failed fails, and in a read-only one", async () => {
    const { name } = await freshStream(client)
    const { publish } = client.stream(name)
    const failed = errorOf(inTransaction(pool, async (tx) => {
      await tx.query("select 1 / 0").catch(() => {})
      return publish("a", 1, { tx })
    }))
    expect((await failed).message).toContain("aborted")
    expect(await errorOf(inTransaction(pool, (tx) => publish("a", 1, { tx }), { begin: "begin read only" }))).toBeInstanceOf(Error)
  })
})

describe("a stream takes no events", () => {
  test("when there is none, or a queue has its name", async () => {
    expect(await errorOf(client.stream("nowhere").publish("a", 1))).toBeInstanceOf(StreamNotFoundError)
    const error = await errorOf<WrongKindError>(client.stream(await freshQueue()).publish("a", 1))
    expect(error).toBeInstanceOf(WrongKindError)
  })

  test("while it is closed, but those of a session of session_replication_role replica", async () => {
    const stream = await freshStream(client, { closed: true })
    const { publish } = client.stream(stream.name)
    const inRole = (role: string): Promise<string> => inTransaction(pool, async (tx) => {
      await tx.query(`set local session_replication_role = ${role}`)
      return publish(role, 1, { tx })
    })
    for (const role of ["origin", "local"]) expect(await errorOf(inRole(role))).toMatchObject({ code: "stream_closed", stream: stream.name })
    expect(await errorOf(publish("a", 1))).toBeInstanceOf(StreamClosedError)
    await inRole("replica")
    await client.admin.updateStream(stream.name, { closed: false })
    await publish("open", 1)
    expect(await types(stream)).toEqual(["replica", "open"])
  })

  test("beyond its limit for a transaction: 0, 2 and none", async () => {
    const stream = await freshStream(client, { maxEventsPerTransaction: 0 })
    const { publish, publishBatch } = client.stream(stream.name)
    const [a, b] = [{ type: "a", data: 1 }, { type: "b", data: 1 }]
    expect(await errorOf(publish("a", 1))).toMatchObject({ code: "transaction_limit", limit: 0, stream: stream.name })
    await client.admin.updateStream(stream.name, { maxEventsPerTransaction: 2 })
    await inTransaction(pool, async (tx) => {
      await publish("a", 1, { tx })
      await tx.query("savepoint s")
      expect(await errorOf(publishBatch([a, b], { tx }))).toMatchObject({ limit: 2 })
      await publish("gone", 1, { tx })
      expect(await errorOf(publish("b", 1, { tx }))).toBeInstanceOf(TransactionLimitError)
      await tx.query("rollback to s")
      await publish("b", 1, { tx }) // what was rolled back to the savepoint does not count
    })
    await publishBatch([a, b])
    expect(await types(stream)).toEqual(["a", "b", "a", "b"])
    await client.admin.updateStream(stream.name, { maxEventsPerTransaction: null })
    await publishBatch(Array.from({ length: 50 }, () => a))
  })
})

describe("a commit wakes readers", () => {
  const waking = createClient(pgDriver(pool), { listen: false })
  const listener = new Connection({ connectionString: url })
  afterAll(() => Promise.all([waking.close(), listener.end()]))

  /** The streams that were notified up to the one that is published to at last, by itself. */
  async function wokenBy(cause: (name: string) => Promise<unknown>, options: StreamOptions = {}): Promise<string[]> {
    const [{ name }, last] = [await freshStream(client, options), await freshStream(client)]
    const heard: string[] = []
    const over = new Promise<void>((resolve) => listener.on("notification", ({ payload }) => heard.push(payload!.replace(name, "it")) && payload === last.name && resolve()))
    await cause(name)
    // Resolves when all hints are out: two that are on their way over two connections may overtake one another.
    await waking.wake("nobody")
    await waking.stream(last.name).publish("last", 1)
    await over
    listener.removeAllListeners("notification")
    return heard.filter((payload) => payload !== last.name && payload !== "nobody")
  }

  test("of publish, of client.transaction, and of any where the stream says notify: transaction", async () => {
    await listener.connect()
    await listener.query("listen sluice_wake")
    const item = { type: "a", data: 1 }
    expect(await wokenBy((name) => waking.stream(name).publish("a", 1))).toEqual(["it"])
    expect(await wokenBy((name) => waking.stream(name).publishBatch([item, item]))).toEqual(["it"])
    expect(await wokenBy((name) => waking.transaction((tx) => waking.stream(name).publishBatch([item, item], { tx })))).toEqual(["it"])
    expect(await wokenBy((name) => inTransaction(pool, (tx) => client.stream(name).publish("a", 1, { tx })), { notify: "transaction" })).toEqual(["it"])
    expect(await wokenBy((name) => pool.query("select sluice.insert_event($1, 'a', '1')", [name]), { notify: "transaction" })).toEqual(["it"])
  })

  test("but nothing does of a transaction that nobody sees commit, or that does not", async () => {
    expect(await wokenBy((name) => inTransaction(pool, (tx) => waking.stream(name).publish("a", 1, { tx })))).toEqual([])
    expect(await wokenBy((name) => client.stream(name).publish("a", 1))).toEqual([]) // its client has notify: false
    expect(await wokenBy((name) => inTransaction(pool, (tx) => waking.stream(name).publish("a", 1, { tx }), { end: "rollback" }), { notify: "transaction" })).toEqual([])
    expect(await wokenBy((name) => errorOf(waking.transaction(async (tx) => {
      await waking.stream(name).publish("a", 1, { tx })
      throw new Error("no")
    })))).toEqual([])
  })
})

test("a client of another process reads on where this one published", async () => {
  const { name } = await client.admin.createStream("shared.name")
  await client.stream(name).publish("before", 1)
  const other = createClient(pgDriver(pool), { listen: false })
  expect(await types(await reading(other, name))).toEqual(["before"])
  await other.close()
})
