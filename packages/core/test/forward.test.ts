import { createClient, ForwardBehindError, type ForwardOptions, type ForwardTarget, InvalidOptionError, StreamNotFoundError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { createDatabase } from "@sluice/testkit"
import { afterAll, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, url } = await harness()
const otherPool = openPool((await createDatabase(url, `other_${process.pid}`)).url)
const other = createClient(pgDriver(otherPool), { listen: false, notify: false })
await other.admin.install()
afterAll(() => otherPool.end())

let made = 0
async function setUp() {
  const name = `from.${++made}`
  await client.admin.createStream(name)
  await client.admin.createSubscription(name, "copy")
  await other.admin.createStream(name)
  await other.admin.createSubscription(name, "all")
  const copy = (options: ForwardOptions = {}, target: ForwardTarget = other.stream(name)) => client.stream(name).subscription("copy").forward(target, { once: true, ...options })
  const copies = async (stream = name) => {
    const batch = await other.stream(stream).subscription("all").nextBatch()
    const events = batch === null ? [] : await batch.list()
    await batch?.finish()
    return events
  }
  return { name, stream: client.stream(name), copy, copies }
}

test("a copy has all that the event had, and says where it is from", async () => {
  const { name, stream, copy, copies } = await setUp()
  const id = await stream.publish("made", { deep: [1, null, "é"] }, { key: "k", headers: { trace: "t" }, extra: ["a", null, "c"] })
  const bare = await stream.publish("bare", null)
  expect(await copy()).toEqual({ batches: 1, events: 2 })
  const [one, two] = await copies()
  const source = `${(await pool.query("select sluice.installation_id() as id")).rows[0].id}:${name}:copy`
  expect(one).toMatchObject({ type: "made", data: { deep: [1, null, "é"] }, key: "k", extra: ["a", null, "c", null], headers: { trace: "t", sluice: { source, id, at: expect.stringMatching(/^\d{4}-/), txid: expect.stringMatching(/^\d+$/) } } })
  expect(two).toMatchObject({ type: "bare", data: null, key: null, headers: { sluice: { id: bare } } })
  expect(await copy()).toEqual({ batches: 0, events: 0 })
})

test("map drops, changes, multiplies and splits over streams of the target's client, all in one transaction", async () => {
  const { name, stream, copy, copies } = await setUp()
  await other.admin.createStream(`${name}.eu`)
  await other.admin.createSubscription(`${name}.eu`, "all")
  await stream.publishBatch([{ type: "drop", data: 0 }, { type: "eu", data: 1, key: "a" }, { type: "us", data: 2 }, { type: "both", data: 3 }])
  await copy({
    map: async ({ type, data }) => {
      if (type === "drop") return
      const here = { type, data: [data], headers: { by: "map" } }
      const eu = { ...here, to: other.stream(`${name}.eu`) }
      return type === "both" ? [here, eu] : type === "eu" ? eu : here
    },
  })
  expect((await copies()).map(({ type, data, headers }) => ({ type, data, by: headers["by"] }))).toEqual([{ type: "us", data: [2], by: "map" }, { type: "both", data: [3], by: "map" }])
  expect((await copies(`${name}.eu`)).map(({ data }) => data)).toEqual([[1], [3]])
  await stream.publishBatch([{ type: "fine", data: 1 }, { type: "lost", data: 2 }])
  const error = await errorOf(copy({ map: ({ type, data }) => ({ type, data, ...(type === "lost" && { to: other.stream("nowhere") }) }) }))
  expect(error).toBeInstanceOf(StreamNotFoundError)
  expect(await copies(), "all or nothing").toEqual([])
  expect(await copy()).toEqual({ batches: 1, events: 2 })
})

test("into a queue an event is a message, with options where map gives them", async () => {
  const { stream, copy } = await setUp()
  const queue = other.queue((await other.admin.createQueue(`jobs.${made}`)).name)
  const id = await stream.publish("made", 1, { key: "k", headers: { trace: "t" } })
  await copy({}, queue)
  expect(await queue.pop()).toMatchObject({ payload: { type: "made", key: "k", data: 1 }, headers: { trace: "t", sluice: { id } } })
  await stream.publish("made", 2)
  await copy({ map: ({ data }) => ({ payload: data, delay: "1h" }) }, queue)
  expect(await queue.read()).toBeNull()
  expect(await queue.metrics()).toMatchObject({ length: 1 })
})

test("an event that is retried in the subscription is copied when it is due, and once", async () => {
  const { stream, copy, copies } = await setUp()
  const ids = await stream.publishBatch([{ type: "made", data: 1 }, { type: "made", data: 2 }])
  const batch = (await stream.subscription("copy").nextBatch())!
  batch.retry((await batch.list())[0]!, { delay: 0 })
  await batch.finish()
  await copy()
  expect((await copies()).map(({ headers }) => (headers["sluice"] as { id: string }).id)).toEqual([ids[0]])
})

test("a failing map, and a target that is not there, give the batch back: it is copied by the next call", async () => {
  const { stream, copy, copies } = await setUp()
  await stream.publish("made", 1)
  const failure = new Error("of the map")
  for (let n = 0; n < 8; n++) expect(await errorOf(copy({ map: () => { throw failure } }))).toBe(failure)
  expect(await errorOf(copy({}, other.stream("nowhere")))).toBeInstanceOf(StreamNotFoundError)
  expect(await errorOf(copy({}, { name: "nothing" } as ForwardTarget))).toBeInstanceOf(InvalidOptionError)
  expect(await errorOf(copy({ map: ({ type, data }) => ({ type, data, to: client.stream("x") }) }))).toBeInstanceOf(InvalidOptionError)
  expect(await copy()).toEqual({ batches: 1, events: 1 })
  expect(await copies()).toHaveLength(1)
})

test("it waits for events until its signal aborts", async () => {
  const { stream, copy, copies } = await setUp()
  const ending = new AbortController()
  const running = copy({ once: false, signal: ending.signal })
  for (let n = 1; n <= 3; n++) {
    await stream.publish("made", n)
    await expect.poll(async () => (await copies()).map(({ data }) => data), { timeout: 15_000 }).toEqual([n])
  }
  ending.abort()
  expect(await running).toEqual({ batches: 3, events: 3 })
})

test("a source that was put back to an earlier state is told of, and nothing is taken for copied", async () => {
  const { stream, copy, copies } = await setUp()
  await stream.publish("made", 1)
  await copy()
  expect(await copies()).toHaveLength(1)
  await otherPool.query("update sluice.forward_position set batch = batch + 1000000")
  await stream.publish("made", 2)
  expect(await errorOf(copy())).toBeInstanceOf(ForwardBehindError)
  await otherPool.query("update sluice.forward_position set batch = batch - 1000000")
  expect(await copy()).toEqual({ batches: 1, events: 1 })
  expect((await copies()).map(({ data }) => data)).toEqual([2])
})

test("copies stay at the target until the subscriptions of the source have done with them", async () => {
  const { name, stream, copy, copies } = await setUp()
  await client.admin.createSubscription(name, "slow")
  await client.admin.createSubscription(name, "retrying", { backoff: null })
  const held = async () => (await other.admin.getStreamInfo(name)).heldBy
  const rotate = async (hours: number) => {
    await moveClock(otherPool, `${hours} hours`)
    await other.maintenance().run()
    await other.maintenance().run()
  }
  await stream.publish("made", 1)
  await copy()
  await copies()
  await rotate(3)
  await rotate(6)
  expect(await held()).toEqual([expect.stringContaining(`${name}:copy`)])
  await (await stream.subscription("slow").nextBatch())!.finish()
  const retrying = (await stream.subscription("retrying").nextBatch())!
  retrying.retry((await retrying.list())[0]!, { delay: "1h" })
  await retrying.finish()
  await copy()
  expect(await held(), "it is to be retried there").toHaveLength(1)
  await client.admin.dropSubscription(name, "retrying")
  await copy()
  expect(await held()).toEqual([])
  await rotate(9)
  expect((await otherPool.query(`select from sluice.event_s${made}`)).rowCount).toBe(0)
  await moveClock(otherPool, "0")
})
