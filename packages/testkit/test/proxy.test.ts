import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import { afterAll, beforeEach, describe, expect, test } from "vitest"
import { startProxy } from "@sluice/testkit"
import { databasePerFile } from "@sluice/testkit/vitest"

const { url } = await databasePerFile()
const proxy = await startProxy(url)
afterAll(proxy.stop)
beforeEach(() => proxy.reset())

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: proxy.url }).on("error", () => {})
  await client.connect()
  return client
}

describe("startProxy", () => {
  test("counts a simple statement as one statement and one round trip, and authentication as nothing", async () => {
    const client = await connect()
    expect(proxy.counts).toMatchObject({ statements: 0, roundTrips: 0, connections: 1 })
    await client.query("select 1")
    await client.end()
    expect(proxy.counts).toMatchObject({ statements: 1, roundTrips: 1, connections: 1, fromClient: { Q: 1, X: 1 } })
    expect(proxy.counts.fromServer).toMatchObject({ T: 1, D: 1, C: 1 })
  })

  test("counts the extended protocol: one Execute, one round trip, prepared or not", async () => {
    const client = await connect()
    const read = { name: "read", text: "select $1::int as n", values: [1] }
    await client.query(read)
    proxy.reset()
    await client.query({ ...read, values: [2] })
    expect(proxy.counts).toMatchObject({ statements: 1, roundTrips: 1, fromClient: { B: 1, E: 1, S: 1 } })
    expect(proxy.counts.fromClient.P).toBeUndefined()
    await client.query("select $1::int", [3])
    expect(proxy.counts).toMatchObject({ statements: 2, roundTrips: 2, fromClient: { P: 1 } })
    await client.end()
  })

  test("counts a transaction statement by statement", async () => {
    const client = await connect()
    for (const text of ["begin", "select 1", "select 2", "commit"]) await client.query(text)
    expect(proxy.counts).toMatchObject({ statements: 4, roundTrips: 4 })
    await client.end()
  })

  test("follows messages that come in many pieces", async () => {
    const client = await connect()
    const text = "x".repeat(3_000_000)
    const { rows } = await client.query("select $1::text as echo, repeat('y', 3000000) as long", [text])
    expect(rows[0].echo).toBe(text)
    expect(rows[0].long).toHaveLength(3_000_000)
    await client.query("select 1")
    expect(proxy.counts).toMatchObject({ statements: 2, roundTrips: 2 })
    await client.end()
  })

  test("does not take a notification for an answer", async () => {
    const listener = await connect()
    const notified = new Promise((resolve) => listener.once("notification", resolve))
    await listener.query("listen here")
    const direct = new pg.Client({ connectionString: url })
    await direct.connect()
    await direct.query("notify here")
    await notified
    await direct.end()
    expect(proxy.counts).toMatchObject({ statements: 1, roundTrips: 1, fromServer: { A: 1 } })
    await listener.end()
  })

  test("adds latency in each direction, in order", async () => {
    const client = await connect()
    proxy.setLatency(100)
    const started = performance.now()
    await Promise.all([client.query("select 1"), sleep(10).then(() => proxy.setLatency(0))])
    proxy.setLatency(100)
    await client.query("select 1")
    expect(performance.now() - started).toBeGreaterThanOrEqual(290) // 100 there, then 100 there and back
    proxy.setLatency(0)
    await client.end()
  })

  test("cuts what is open and accepts what is new", async () => {
    const client = await connect()
    const pending = client.query("select pg_sleep(30)")
    await sleep(50)
    expect(proxy.open).toBe(1)
    proxy.cut()
    await expect(pending).rejects.toThrow()
    const next = await connect()
    await next.query("select 1")
    await next.end()
  })

  test("refuses what is new and keeps what is open", async () => {
    const client = await connect()
    await proxy.refuse(true)
    await expect(connect()).rejects.toMatchObject({ code: "ECONNREFUSED" })
    await client.query("select 1")
    await proxy.refuse(false)
    await (await connect()).end()
    await client.end()
  })

  test("goes half-open: accepts, stays silent, closes nothing", async () => {
    const client = await connect()
    proxy.goHalfOpen(true)
    const answer = client.query("select 1").then(() => "answered", () => "failed")
    expect(await Promise.race([answer, sleep(300).then(() => "silence")])).toBe("silence")
    const late = new pg.Client({ connectionString: proxy.url, connectionTimeoutMillis: 200 }).on("error", () => {})
    await expect(late.connect()).rejects.toThrow(/timeout/)
    proxy.goHalfOpen(false)
    proxy.cut()
    expect(await answer).toBe("failed")
  })
})
