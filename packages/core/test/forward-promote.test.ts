import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { startEmbedded } from "@sluice/testkit"
import { afterAll, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { openPool } from "./helpers/harness.ts"

const [first, second] = await Promise.all([startEmbedded({ settings: { autovacuum: "off" } }), startEmbedded({ settings: { autovacuum: "off" } })])
async function open(url: string) {
  const pool = openPool(url)
  const client = createClient(pgDriver(pool), { listen: false, notify: false })
  await client.admin.install()
  return { pool, client }
}
const [a, b] = [await open(first.url), await open(second.url)]
type Side = typeof a
afterAll(async () => {
  await Promise.all([a.pool.end(), b.pool.end()])
  await Promise.all([first.stop(), second.stop()])
})
// Ids of transactions of the one mean nothing in the other.
for (let n = 0; n < 500; n++) await b.pool.query("select pg_current_xact_id()")

let made = 0

async function rest(side: Side, stream: string, name: string, limit = Infinity): Promise<unknown[]> {
  const data: unknown[] = []
  for (let batch; data.length < limit && (batch = await side.client.stream(stream).subscription(name, { owner: "rest" }).nextBatch()) !== null; await batch.finish()) data.push(...(await batch.list()).map((event) => event.data))
  return data
}

const publish = (side: Side, stream: string, ...numbers: number[]) => side.client.stream(stream).publishBatch(numbers.map((data) => ({ type: "made", data })))
const copy = (from: Side, to: Side, stream: string, maxEvents = 1000) => from.client.stream(stream).subscription("copy").forward(to.client.stream(stream), { once: true, maxEvents })
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n)

async function freshStream(): Promise<string> {
  const name = `orders.${++made}`
  await a.client.admin.createStream(name)
  await b.client.admin.createStream(name)
  await a.client.admin.createSubscription(name, "copy")
  return name
}

describe("a copy that is promoted", () => {
  test("gives each subscription what it had not done with at the source, exactly, and goes on", async () => {
    const stream = await freshStream()
    const { admin } = a.client
    for (const name of ["done", "untouched", "opened", "sliced", "members", "retrying", "dead"]) await admin.createSubscription(stream, name, { backoff: null, lease: "1h", maxAttempts: 7 })
    const late = await a.pool.connect()
    await late.query("begin")
    await a.client.stream(stream).publish("made", 0, { tx: late })
    await publish(a, stream, ...range(1, 10))
    const next = async (name: string, owner: string, maxEvents: number, member = false) => (await a.client.stream(stream).subscription(name, { owner, member }).nextBatch({ maxEvents }))!
    await rest(a, stream, "done")
    await next("opened", "x", 10)
    await (await next("sliced", "x", 3)).finish()
    const parts = [await next("members", "1", 4, true), await next("members", "2", 4, true), await next("members", "3", 4, true)]
    await parts[1]!.finish()
    for (const [name, decide] of [["retrying", "retry"], ["dead", "deadLetter"]] as const) {
      const batch = await next(name, "x", 10)
      batch[decide]((await batch.list())[4]!)
      await batch.finish()
    }
    await late.query("commit")
    late.release()
    await publish(a, stream, 11)
    await copy(a, b, stream, 4)
    await publish(a, stream, 12) // is never copied: the source is gone

    const expected: Record<string, number[]> = { done: [], untouched: range(1, 10), opened: range(1, 10), sliced: range(4, 10), members: [1, 2, 3, 4, 9, 10], retrying: [5], dead: [] }
    const promoted = await b.client.admin.promoteStream(stream)
    expect(promoted.map(({ name, created, events }) => ({ name, created, events }))).toEqual(Object.keys(expected).sort().map((name) => ({ name, created: true, events: expected[name]!.length + 2 })))
    expect(await b.client.admin.promoteStream(stream)).toEqual([])
    expect(await b.client.admin.getSubscriptionInfo(stream, "sliced")).toMatchObject({ maxAttempts: 7, backoff: null, lease: "1h" })
    await publish(b, stream, 100)
    for (const [name, numbers] of Object.entries(expected)) expect(((await rest(b, stream, name)) as number[]).sort((x, y) => x - y), name).toEqual([0, ...numbers, 11, 100])
    expect((await b.client.admin.getStreamInfo(stream)).heldBy).toEqual([])
    await b.client.admin.dropStream(stream, { force: true })
  })

  test("keeps what the forwarder told last, also where the subscriptions went on without new events", async () => {
    const stream = await freshStream()
    await a.client.admin.createSubscription(stream, "reader")
    await publish(a, stream, 1, 2)
    await copy(a, b, stream)
    expect(await rest(a, stream, "reader")).toEqual([1, 2])
    await copy(a, b, stream)
    expect(await b.client.admin.promoteStream(stream)).toEqual([{ name: "reader", created: true, events: 0 }])
    expect(await rest(b, stream, "reader")).toEqual([])
  })

  test("leaves a subscription whose name is taken, and one of two sources gets the events of both", async () => {
    const stream = await freshStream()
    await b.client.admin.createSubscription(stream, "taken")
    await a.client.admin.createSubscription(stream, "taken")
    await a.client.admin.createStream(`${stream}.2`)
    for (const name of ["copy", "merged"]) await a.client.admin.createSubscription(`${stream}.2`, name)
    await a.client.admin.createSubscription(stream, "merged")
    await publish(a, stream, 1)
    await publish(a, `${stream}.2`, 2)
    await copy(a, b, stream)
    await a.client.stream(`${stream}.2`).subscription("copy").forward(b.client.stream(stream), { once: true })
    expect(await b.client.admin.promoteStream(stream)).toEqual([{ name: "merged", created: true, events: 2 }, { name: "taken", created: false, events: 0 }])
    expect(await rest(b, stream, "merged")).toEqual([1, 2])
    expect(await rest(b, stream, "taken")).toEqual([1, 2])
  })

  test("while copies and other events arrive loses none of them", async () => {
    const stream = await freshStream()
    await a.client.admin.createSubscription(stream, "reader")
    await publish(a, stream, ...range(1, 40))
    const copying = copy(a, b, stream, 2)
    const publishing = (async () => { for (const n of range(101, 120)) await publish(b, stream, n) })()
    await expect.poll(async () => (await b.pool.query("select from sluice.forward_stream f join sluice.queue q on q.id = f.stream where q.name = $1", [stream])).rowCount).toBe(1)
    await b.client.admin.promoteStream(stream)
    await Promise.all([copying, publishing])
    await publish(b, stream, 200)
    const got = (await rest(b, stream, "reader")) as number[]
    expect(got.filter((n) => n < 100).sort((x, y) => x - y)).toEqual(range(1, 40))
    expect(new Set(got).size).toBe(got.length)
    expect(got.at(-1)).toBe(200)
  })

  test("there is nothing to promote of another stream, and none of no stream", async () => {
    await b.client.admin.createStream("plain")
    expect(await b.client.admin.promoteStream("plain")).toEqual([])
    expect(await errorOf(b.client.admin.promoteStream("nothing"))).toMatchObject({ code: "stream_not_found" })
  })
})

/** Closes the stream here, lets what reads it come to its end, and goes on there. */
async function switchOver(from: Side, to: Side, stream: string, names: readonly string[], got: Record<string, unknown[]>): Promise<void> {
  await from.client.admin.updateStream(stream, { closed: true })
  expect(await errorOf(publish(from, stream, -1))).toMatchObject({ code: "stream_closed" })
  for (const name of names) got[name]!.push(...(await rest(from, stream, name)))
  await copy(from, to, stream)
  await to.client.admin.promoteStream(stream)
  for (const name of names) await from.client.admin.dropSubscription(stream, name)
  await from.client.admin.dropSubscription(stream, "copy")
  await to.client.admin.createSubscription(stream, "copy")
  await from.client.admin.updateStream(stream, { closed: false }) // it takes copies from now on
}

test("a clean switchover, and the one back, bring every event to every subscription exactly once", async () => {
  const stream = await freshStream()
  const names = ["audit", "mail"]
  const got: Record<string, unknown[]> = { audit: [], mail: [] }
  for (const name of names) await a.client.admin.createSubscription(stream, name)
  await publish(a, stream, ...range(1, 5))
  await copy(a, b, stream)
  got["audit"]!.push(...(await rest(a, stream, "audit")))
  await publish(a, stream, ...range(6, 8))
  await switchOver(a, b, stream, names, got)
  await publish(b, stream, ...range(9, 12))
  got["mail"]!.push(...(await rest(b, stream, "mail")))
  await copy(b, a, stream)
  await publish(b, stream, ...range(13, 15))
  await switchOver(b, a, stream, names, got)
  await publish(a, stream, 16)
  for (const name of names) {
    got[name]!.push(...(await rest(a, stream, name)))
    expect(got[name], name).toEqual(range(1, 16))
  }
})
