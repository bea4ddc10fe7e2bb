import { createClient, QueueAlreadyExistsError, type SluiceError, StreamNotFoundError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterAll, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction, openPool } from "./helpers/harness.ts"
import { freshStream, reading } from "./helpers/recorded.ts"

const { client, pool, url } = await harness()
const own = openPool(url, 20)
const { admin, ...crowd } = createClient(pgDriver(own), { listen: false, notify: false })
afterAll(() => own.end())

const outcomes = <T>(promises: Promise<T>[]): Promise<any[]> =>
  Promise.allSettled(promises).then((all) => all.map((one) => (one.status === "fulfilled" ? one.value : one.reason)))
const times = <T>(count: number, run: (i: number) => Promise<T>): Promise<any[]> => outcomes(Array.from({ length: count }, (_, i) => run(i)))

test("20 creations at once make one stream: one of them created it", async () => {
  for (const options of [{}, { retention: "1d", lagLimit: { events: 5 } }] as const) {
    const name = `crowd.${Object.keys(options).length}`
    const results = await times(20, () => admin.createStream(name, options))
    expect(results.filter(({ created }) => created === true)).toHaveLength(1)
    expect(results.filter(({ created }) => created === false)).toHaveLength(19)
    expect(new Set(results.map(({ id }) => id)).size).toBe(1)
  }
  const strict = await times(20, () => admin.createStream("crowd.strict", { ifExists: "error" }))
  expect(strict.filter((result) => result instanceof QueueAlreadyExistsError)).toHaveLength(19)
})

test("20 creations at once with other options: one wins, the others are told what differs", async () => {
  const results = await times(20, (i) => admin.createStream("crowd.other", { tickerMaxCount: i + 1 }))
  const [winner] = results.filter(({ created }) => created === true)
  expect(results.filter(({ code }) => code === "options_differ")).toHaveLength(19)
  expect(await admin.getStream("crowd.other")).toMatchObject({ tickerMaxCount: winner.tickerMaxCount })
})

test("creations of a stream and a queue of one name at once: one of the two is there, the others are of the wrong kind", async () => {
  const results = await times(20, (i) => (i % 2 === 0 ? admin.createStream("crowd.kind") : admin.createQueue("crowd.kind")) as Promise<unknown>)
  expect(results.filter(({ created }) => created === true)).toHaveLength(1)
  expect(results.filter(({ created }) => created === false)).toHaveLength(9)
  expect(results.filter(({ code }) => code === "wrong_kind")).toHaveLength(10)
})

test("20 drops at once drop it once, and 20 updates at once all hold", async () => {
  const { name } = await freshStream(client)
  expect(await times(20, (i) => admin.updateStream(name, { [["tickerMaxCount", "maxEventsPerTransaction"][i % 2]!]: 7 }))).toHaveLength(20)
  expect(await admin.getStream(name)).toMatchObject({ tickerMaxCount: 7, maxEventsPerTransaction: 7 })
  expect((await times(20, () => admin.dropStream(name, { force: true }))).filter((dropped) => dropped === true)).toHaveLength(1)
})

test("creating, dropping, publishing, reading, updating and subscribing at once meet no error but that it is not there", async () => {
  const name = "churn"
  const fine = new Set(["stream_not_found", "subscription_not_found", "stale_batch", "stream_in_use"])
  const { publish, publishBatch, subscription } = crowd.stream(name)
  const acts = [
    () => admin.createStream(name),
    () => admin.dropStream(name, { force: true }),
    () => publish("a", 1),
    () => publishBatch([{ type: "a", data: 1 }, { type: "b", data: 2 }]),
    () => inTransaction(own, (tx) => publish("c", 1, { tx }), { begin: "begin isolation level repeatable read", end: "rollback" }),
    () => admin.createSubscription(name, "s", { from: "earliest" }),
    async () => (await subscription("s", { member: true }).nextBatch({ lease: "100ms" }))?.finish(),
    () => admin.updateStream(name, { tickerMaxCount: 9 }),
    () => admin.getStreamInfo(name),
    () => admin.listStreams(),
    () => admin.listSubscriptions(name),
    () => crowd.maintenance().run(),
    () => admin.forceTick(name),
  ]
  const seen = new Map<string, number>()
  for (let round = 0; round < 12; round++) {
    for (const result of await outcomes(acts.flatMap((act) => [act(), act()]) as Promise<unknown>[])) {
      if (!(result instanceof Error)) continue
      const { code } = result as SluiceError
      // A snapshot older than a drop or an update tells so, as Postgres does.
      if (!fine.has(code) && !(code === "40001" || code === "serialization_failure")) throw result
      seen.set(code, (seen.get(code) ?? 0) + 1)
    }
  }
  expect(seen.get("stream_not_found")).toBeGreaterThan(0)
  await admin.createStream(name)
  await admin.dropStream(name, { force: true })
  expect(await admin.verify()).toEqual({ ok: true, differences: [] })
  expect((await pool.query("select relname from pg_class c where relname ~ '^event_s' and not exists (select from sluice.queue q where q.dropped_at is null and relname ~ ('^event_s' || q.id || '(_|$)'))")).rows).toEqual([])
}, 60_000)

test("a drop waits for who has published, whose transaction commits; who comes then finds no stream", async () => {
  const { name } = await freshStream(client)
  let dropped: Promise<boolean>
  await inTransaction(pool, async (tx) => {
    await client.stream(name).publish("a", 1, { tx })
    dropped = admin.dropStream(name, { force: true })
    await expect.poll(async () => (await pool.query("select from pg_locks where locktype = 'advisory' and not granted")).rowCount).toBe(1)
    await client.stream(name).publish("b", 1, { tx })
  })
  expect(await dropped!).toBe(true)
  expect(await errorOf(client.stream(name).publish("c", 1))).toBeInstanceOf(StreamNotFoundError)
})

test("who publishes while a drop is under way waits for it: it is not there then, or there as before", async () => {
  for (const end of ["commit", "rollback"] as const) {
    const { name } = await freshStream(client)
    let published: Promise<unknown>
    await inTransaction(pool, async (tx) => {
      await admin.dropStream(name, { force: true, tx })
      published = crowd.stream(name).publish("a", 1).catch((error: Error) => error)
      await expect.poll(async () => (await pool.query("select from pg_locks where locktype = 'advisory' and not granted")).rowCount).toBe(1)
    }, { end })
    const result = await published!
    if (end === "commit") expect(result).toBeInstanceOf(StreamNotFoundError)
    else expect(result).toMatch(/^\d+$/)
  }
})

test("under a snapshot from before its drop a stream is not there; from before its creation neither", async () => {
  const { name } = await freshStream(client)
  const begin = "begin isolation level repeatable read"
  await inTransaction(pool, async (tx) => {
    await tx.query("select")
    await admin.dropStream(name, { force: true })
    await admin.createStream("too.new")
    expect(await errorOf(client.stream(name).publish("a", 1, { tx }))).toBeInstanceOf(StreamNotFoundError)
    expect(await errorOf(client.stream("too.new").publish("a", 1, { tx }))).toBeInstanceOf(StreamNotFoundError)
  }, { begin, end: "rollback" })
  const { news } = await reading(client, "too.new")
  expect(await news()).toEqual([])
})

test("a stream is created and dropped at any isolation level, alone", async () => {
  for (const level of ["repeatable read", "serializable"]) {
    const begin = `begin isolation level ${level}`
    const made = await outcomes([inTransaction(pool, (tx) => admin.createStream(`at.${level[0]}`, { tx }), { begin })])
    expect(made[0], level).toMatchObject({ created: true })
    expect(await inTransaction(pool, (tx) => admin.dropStream(`at.${level[0]}`, { tx }), { begin })).toBe(true)
  }
})
