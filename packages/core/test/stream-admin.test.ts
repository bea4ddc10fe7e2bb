import { QueueAlreadyExistsError, QueueOptionsDifferError, StreamInUseError, StreamNotFoundError, WrongKindError } from "@sluice/core"
import { beforeAll, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { freshStream, reading } from "./helpers/recorded.ts"

const { client, pool, freshQueue } = await harness()
const { admin } = client

const defaults = {
  notify: "off", rotationPeriod: "2h", retention: 0, tickerMaxCount: 500, tickerMaxLag: "3s", tickerIdlePeriod: "1m", tickerPaused: false, externalTicker: false, closed: false,
  maxEventsPerTransaction: null, lagLimit: { age: "1d" }, whenStuck: "block",
} as const
const others = {
  notify: "transaction", rotationPeriod: "90s", retention: "7d", tickerMaxCount: 1, tickerMaxLag: "1ms", tickerIdlePeriod: "1h", tickerPaused: true, externalTicker: true, closed: true,
  maxEventsPerTransaction: 0, lagLimit: { age: "5m", events: 10, bytes: 9_007_199_254_740_991 }, whenStuck: "expire",
} as const

describe("createStream", () => {
  test("makes a stream with the documented defaults, and finds it the second time", async () => {
    const first = await admin.createStream("defaults")
    expect(first).toEqual({ id: expect.stringMatching(/^\d+$/), name: "defaults", createdAt: expect.any(Date), created: true, ...defaults })
    expect(Math.abs(first.createdAt.getTime() - Date.now())).toBeLessThan(60_000)
    expect(await admin.createStream("defaults")).toEqual({ ...first, created: false })
    const { created: _, ...info } = first
    expect(await admin.getStream("defaults")).toEqual(info)
    expect(await admin.createStream("defaults", defaults)).toMatchObject({ created: false })
  })

  test("keeps every option, and finds a stream of equal options however they are written", async () => {
    expect(await admin.createStream("all", others)).toMatchObject({ ...others, created: true })
    expect(await admin.createStream("all", { ...others, rotationPeriod: "1.5m", lagLimit: { ...others.lagLimit, age: "300s" } })).toMatchObject({ ...others, created: false })
    expect(await admin.createStream("all")).toMatchObject({ ...others, created: false })
    expect(await admin.createStream("unlimited", { lagLimit: null })).toMatchObject({ lagLimit: null })
    expect(await admin.createStream("unlimited", { lagLimit: null })).toMatchObject({ created: false })
  })

  test("with other options names each difference and the fix, and changes nothing", async () => {
    const { created: _, ...before } = await admin.createStream("differs")
    const error = await errorOf<QueueOptionsDifferError>(admin.createStream("differs", others))
    expect(error).toBeInstanceOf(QueueOptionsDifferError)
    expect(error.differences).toEqual(Object.keys(defaults).sort().map((option) => ({ option, stored: defaults[option as keyof typeof defaults], requested: others[option as keyof typeof others] })))
    expect(error.message).toContain('updateStream("differs"')
    expect(await admin.getStream("differs")).toEqual(before)
  })

  test("with ifExists: error throws for one that is there", async () => {
    expect(await admin.createStream("once", { ifExists: "error" })).toMatchObject({ created: true })
    expect(await errorOf(admin.createStream("once", { ifExists: "error" }))).toBeInstanceOf(QueueAlreadyExistsError)
  })

  test("takes every name that a queue may have, and tells names apart by case", async () => {
    for (const name of ["x".repeat(63), "A.b:c-d_E", "0", "select", "Order", "order", "_", "events"]) {
      const { news } = await (async () => (await admin.createStream(name), reading(client, name)))()
      await client.stream(name).publish("t", name)
      expect((await news()).map(({ data, stream }) => [data, stream])).toEqual([[name, name]])
    }
  })
})

describe("updateStream", () => {
  test("changes what the patch has, one by one, and nothing else", async () => {
    const { name } = await freshStream(client)
    let expected: object = await admin.getStream(name)
    for (const [option, value] of Object.entries(others)) {
      expected = { ...expected, [option]: value }
      expect(await admin.updateStream(name, { [option]: value }), option).toEqual(expected)
      expect(await admin.getStream(name)).toEqual(expected)
    }
    expect(await admin.updateStream(name, {})).toEqual(expected)
    expect(await admin.updateStream(name, { maxEventsPerTransaction: null, lagLimit: null })).toEqual({ ...expected, maxEventsPerTransaction: null, lagLimit: null })
  })
})

describe("getStream, listStreams, dropStream", () => {
  test("know those that there are, in order of name; a queue is none", async () => {
    await Promise.all(["list.b", "list.a", "list.C"].map((name) => admin.createStream(name)))
    const queue = await freshQueue()
    const names = (await admin.listStreams()).map(({ name }) => name)
    expect(names).toEqual([...names].sort())
    expect(names.filter((name) => name.startsWith("list."))).toEqual(["list.C", "list.a", "list.b"])
    expect(names).not.toContain(queue)
    expect((await admin.listQueues()).map(({ name }) => name)).not.toContain("list.a")
    expect((await admin.listStreams()).find(({ name }) => name === "list.a")).toEqual(await admin.getStream("list.a"))
    expect(await admin.dropStream("list.a")).toBe(true)
    expect(await admin.dropStream("list.a")).toBe(false)
    expect(await errorOf(admin.getStream("list.a"))).toBeInstanceOf(StreamNotFoundError)
    expect((await admin.listStreams()).map(({ name }) => name)).not.toContain("list.a")
  })

  test("a drop is refused while there are subscriptions, and takes them with it where it is forced", async () => {
    const { name } = await freshStream(client)
    await admin.createSubscription(name, "another")
    const error = await errorOf<StreamInUseError>(admin.dropStream(name))
    expect(error).toBeInstanceOf(StreamInUseError)
    expect(error).toMatchObject({ stream: name, subscriptions: ["another", "test"], tables: [] })
    await client.stream(name).publish("a", 1)
    const open = await client.stream(name).subscription("test").nextBatch()
    expect(await admin.dropStream(name, { force: true })).toBe(true)
    expect(await errorOf(open!.finish())).toBeInstanceOf(StreamNotFoundError)
    expect(await errorOf(admin.listSubscriptions(name))).toBeInstanceOf(StreamNotFoundError)
  })

  test("after a drop the name is free, for a stream that has nothing of the old one, or for a queue", async () => {
    const { name } = await freshStream(client)
    const { id } = await admin.getStream(name)
    await client.stream(name).publish("old", 1)
    await admin.dropStream(name, { force: true })
    const again = await admin.createStream(name, { closed: false })
    expect(again).toMatchObject({ created: true })
    expect(Number(again.id)).toBeGreaterThan(Number(id))
    expect((await admin.listSubscriptions(name))).toEqual([])
    const { news } = await reading(client, name)
    await client.stream(name).publish("new", 1)
    expect((await news()).map(({ type }) => type)).toEqual(["new"])
    await admin.dropStream(name, { force: true })
    await admin.createQueue(name)
    await client.queue(name).send(1)
    expect(await errorOf(admin.createStream(name))).toBeInstanceOf(WrongKindError)
    await admin.dropQueue(name, { force: true })
    expect(await admin.createStream(name)).toMatchObject({ created: true })
    const left = await pool.query("select relname from pg_class where relname ~ $1", [`^event_s(${id}|${again.id})(_|$)`])
    expect(left.rows).toEqual([])
  })

  test("many streams are listed wholly, page after page", async () => {
    await pool.query("do $$ begin for i in 1..60 loop perform sluice.create_stream('many.' || to_char(i, 'FM000')); end loop; end $$")
    // More than a page holds; their tables are not what is listed.
    await pool.query("insert into sluice.queue (name, kind, created_at) select 'more.' || to_char(i, 'FM0000'), 'stream', now() from generate_series(1, 2100) i; insert into sluice.stream (id) select id from sluice.queue where name like 'more.%'")
    const names = (await admin.listStreams()).map(({ name }) => name).filter((name) => /^(many|more)\./.test(name))
    expect(names).toEqual([...Array.from({ length: 60 }, (_, i) => `many.${String(i + 1).padStart(3, "0")}`), ...Array.from({ length: 2100 }, (_, i) => `more.${String(i + 1).padStart(4, "0")}`)])
    await pool.query("delete from sluice.stream where id in (select id from sluice.queue where name like 'more.%'); delete from sluice.queue where name like 'more.%'")
  })
})

test("all of it joins the caller's transaction, and was never where that rolls back", async () => {
  const { name: kept } = await freshStream(client)
  for (const end of ["rollback", "commit"] as const) {
    await inTransaction(pool, async (tx) => {
      expect(await admin.createStream("joined", { tx })).toMatchObject({ created: true })
      await client.stream("joined").publish("a", 1, { tx })
      expect(await admin.updateStream("joined", { closed: true }, { tx })).toMatchObject({ closed: true })
      expect(await admin.getStream("joined", { tx })).toMatchObject({ closed: true })
      expect((await admin.listStreams({ tx })).map(({ name }) => name)).toContain("joined")
      expect(await admin.dropStream(kept, { tx, force: true })).toBe(true)
      expect(await errorOf(admin.getStream("joined"))).toBeInstanceOf(StreamNotFoundError)
    }, { end })
  }
  expect(await admin.getStreamInfo("joined")).toMatchObject({ closed: true })
  expect(await errorOf(admin.getStream(kept))).toBeInstanceOf(StreamNotFoundError)
})

type Untyped = Record<string, (...args: unknown[]) => Promise<unknown>>
const [held, untyped] = [{ id: "1", lease: "1" }, admin as unknown as Untyped]
const queueCalls: [string, (name: string) => unknown][] = [
  ...Object.entries({
    send: [1], sendBatch: [[{ payload: 1 }]], read: [], readBatch: [], readWithPoll: [], pop: [], popBatch: [], setVt: [held, "1s"], extend: [held, "1s"], progress: [held, 1], release: [held], retry: [held],
    snooze: [held, "1s"], deadLetter: [held], delete: [held], archive: [held], deleteBatch: [[held]], archiveBatch: [[held]], edit: ["1", { payload: 2 }], promote: ["1"], cancel: ["1"], purge: [], metrics: [],
  }).map(([call, args]): [string, (name: string) => unknown] => [`queue.${call}`, (name) => (client.queue(name) as unknown as Untyped)[call]!(...args)]),
  ...["createQueue", "getQueue", "dropQueue", "purge", "pauseQueue", "resumeQueue", "redrive", "metrics"].map((call): [string, (name: string) => unknown] => [`admin.${call}`, (name) => untyped[call]!(name)]),
  ["admin.updateQueue", (name) => admin.updateQueue(name, { lease: "1s" })],
  ["a dead-letter queue", (name) => admin.createQueue("buries", { deadLetter: name })],
  ["a schedule", (name) => client.schedules.upsert("s", { queue: name, every: "1h" })],
  ["send with a key", (name) => client.queue(name).send(1, { key: "k" })],
]
const streamCalls: [string, (name: string) => unknown][] = [
  ...["createStream", "getStream", "dropStream", "getStreamInfo", "forceTick", "listSubscriptions"].map((call): [string, (name: string) => unknown] => [call, (name) => untyped[call]!(name)]),
  ...["createSubscription", "getSubscriptionInfo", "dropSubscription", "deadEvents", "redriveEvents"].map((call): [string, (name: string) => unknown] => [call, (name) => untyped[call]!(name, "x")]),
  ["updateStream", (name) => admin.updateStream(name, { closed: true })],
  ["updateSubscription", (name) => admin.updateSubscription(name, "x", { lease: "1s" })],
  ["reposition", (name) => admin.reposition(name, "x", { to: "latest" })],
  ["externalTick", (name) => admin.externalTick(name, { id: "1" })],
  ["publish", (name) => client.stream(name).publish("a", 1)],
  ["publishBatch", (name) => client.stream(name).publishBatch([{ type: "a", data: 1 }])],
  ["nextBatch", (name) => client.stream(name).subscription("x").nextBatch()],
]

describe("streams and queues share their names:", () => {
  const [stream, queue] = ["a.stream", "a.queue"]
  beforeAll(() => Promise.all([admin.createStream(stream), admin.createQueue(queue)]))

  test.each(queueCalls)("%s of a stream is refused as of the wrong kind", async (_, call) => {
    const error = await errorOf<WrongKindError>(async () => call(stream))
    expect(error, error.stack).toBeInstanceOf(WrongKindError)
    expect(error.message).toContain(stream)
  })

  test.each(streamCalls)("%s of a queue is refused as of the wrong kind", async (_, call) => {
    const error = await errorOf<WrongKindError>(async () => call(queue))
    expect(error, error.stack).toBeInstanceOf(WrongKindError)
    expect(error.message).toContain(queue)
  })

  test.each(streamCalls.filter(([call]) => !/createStream|dropStream/.test(call)))("%s without a stream is refused as not found", async (_, call) => {
    expect(await errorOf(async () => call("no.stream"))).toBeInstanceOf(StreamNotFoundError)
  })

  test("nothing of that has changed either", async () => {
    expect(await admin.getStreamInfo(stream)).toMatchObject({ published: 0, closed: false, subscriptions: 0 })
    expect(await client.queue(queue).metrics()).toMatchObject({ total: 0 })
  })
})
