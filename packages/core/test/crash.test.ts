import { AbortedError, createClient, type Message, StaleLeaseError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { startEmbedded, startProxy } from "@sluice/testkit"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeEach, describe, expect, test } from "vitest"
import { startChild } from "./helpers/child.ts"
import { errorOf } from "./helpers/error-of.ts"
import { openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

// A server of its own that takes fsync seriously. The WAL writer sleeps long, so that an asynchronous commit may really be lost.
const server = await startEmbedded({
  fsync: true,
  settings: { wal_writer_delay: "10s", wal_writer_flush_after: "1GB", autovacuum: "off" },
})
const pool = openPool(server.url)
const client = createClient(pgDriver(pool), { listen: false, notify: false })
await client.admin.install()
afterAll(async () => {
  await client.close()
  await pool.end()
  await server.stop()
})

let made = 0
async function freshQueue() {
  return client.queue((await client.admin.createQueue(`crash.${++made}`)).name)
}

async function crash(): Promise<void> {
  await server.stopImmediate()
  await server.restart()
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 15_000; !(await condition()); await sleep(20)) {
    if (Date.now() > deadline) throw new Error("waited 15 s")
  }
}
const waiting = async (): Promise<number> =>
  (await pool.query("select 1 from pg_stat_activity where wait_event_type = 'Lock'")).rowCount!

beforeEach(() => moveClock(pool, "0"))

describe("after an immediate shutdown of the server", () => {
  test("what was sent is there: sends are committed to disk", async () => {
    const queue = await freshQueue()
    const ids = [await queue.send(1), ...(await queue.sendBatch([{ payload: 2 }, { payload: 3 }]))]
    await crash()
    expect((await queue.readBatch({ limit: 5 })).map(({ id }) => id)).toEqual(ids)
  }, 60_000)

  test("a dedicated storage keeps its messages; an unlogged one is empty and goes on, its archive kept and no id twice", async () => {
    const kept = client.queue((await client.admin.createQueue(`crash.${++made}`, { storage: "dedicated" })).name)
    const lost = client.queue((await client.admin.createQueue(`crash.${++made}`, { storage: "unlogged" })).name)
    const id = await kept.send("kept")
    const ids = await lost.sendBatch([{ payload: 1 }, { payload: 2 }])
    await lost.archive((await lost.read())!)
    await crash()
    expect(await kept.read()).toMatchObject({ id, payload: "kept" })
    expect(await lost.read()).toBeNull()
    expect(await lost.metrics()).toMatchObject({ length: 0, total: expect.any(Number) })
    expect(await client.admin.archive.count({ queue: lost.name })).toBe(1)
    expect(await client.maintenance().run()).toMatchObject({ ran: true })
    const next = await lost.send(3)
    expect(ids).not.toContain(next)
    expect(await lost.read()).toMatchObject({ id: next })
  }, 60_000)

  test("a claim that was not yet on disk may be lost, but two holders never both settle", async () => {
    const seen = { lost: 0, kept: 0 }
    for (const flush of [false, true, false]) {
      const queue = await freshQueue()
      const id = await queue.send("x")
      const first = (await queue.read({ lease: "1h" }))!
      // An insert that waits for its commit takes the claim's WAL along to the disk.
      if (flush) await (await freshQueue()).send("flush")
      await crash()
      const { attempt, state } = (await client.admin.messages.get(id))!
      expect(state).toBe(attempt === 0 ? "visible" : "inFlight")
      seen[attempt === 0 ? "lost" : "kept"]++
      if (flush) expect(attempt).toBe(1)

      if (attempt === 1) await moveClock(pool, "2 hours")
      const second = (await queue.read({ lease: "1h" }))!
      expect(second).toMatchObject({ id, attempt: attempt + 1 })
      expect(second.lease).not.toBe(first.lease)
      const accepted = await Promise.allSettled([queue.archive(first), queue.archive(second)])
      expect(accepted[0]).toMatchObject({ status: "rejected", reason: expect.any(StaleLeaseError) })
      expect(accepted[1]).toMatchObject({ status: "fulfilled" })
      await moveClock(pool, "0")
    }
    expect(seen.lost + seen.kept).toBe(3)
    expect(seen.lost, "no claim was lost, so this test shows less than it says").toBeGreaterThan(0)
  }, 90_000)

  test("the old holder still settles if its claim survived, else it is told that it holds nothing", async () => {
    for (const flush of [true, false]) {
      const queue = await freshQueue()
      const id = await queue.send("x")
      const first = (await queue.read({ lease: "1h" }))!
      if (flush) await (await freshQueue()).send("flush")
      await crash()
      const survived = (await client.admin.messages.get(id))!.attempt === 1
      if (flush) expect(survived).toBe(true)
      const settled = await queue.delete(first).then(
        () => true,
        (error: unknown) => (expect(error).toBeInstanceOf(StaleLeaseError), false),
      )
      expect(settled).toBe(survived)
      expect(await client.admin.metrics(queue.name)).toMatchObject({ length: survived ? 0 : 1 })
    }
  }, 60_000)

  test("a settle that was answered has happened, and so has the claim before it", async () => {
    const queue = await freshQueue()
    const id = await queue.send("x")
    await queue.archive((await queue.read())!)
    await crash()
    expect(await client.admin.archive.get(id)).toMatchObject({ attempt: 1, outcome: "done" })
    expect(await queue.read()).toBeNull()
  }, 60_000)

  test("no id and no lease is given twice", async () => {
    const queue = await freshQueue()
    const [ids, leases] = [new Set<string>(), new Set<string>()]
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 5; n++) ids.add(await queue.send(n))
      const held = await queue.readBatch({ limit: 100, lease: "1s" })
      leases.add(held[0]!.lease)
      await crash()
      await moveClock(pool, `${(round + 1) * 10} seconds`)
    }
    expect(ids.size).toBe(15)
    expect(leases.size).toBe(3)
  }, 90_000)
})

describe("a process killed by SIGKILL", () => {
  test("while it held a lease loses it: the message comes back after expiry, as attempt 2", async () => {
    await client.admin.createQueue("held")
    const id = await client.queue("held").send("work")
    const child = startChild("hold-child.ts", server.url, "read")
    const held = await child.next<Message>()
    expect(held).toMatchObject({ id, attempt: 1 })
    await child.kill()
    expect(await client.queue("held").read()).toBeNull()
    await moveClock(pool, "61 minutes")
    const again = (await client.queue("held").read())!
    expect(again).toMatchObject({ id, attempt: 2, payload: "work" })
    expect(await errorOf(client.queue("held").delete(held))).toBeInstanceOf(StaleLeaseError)
    await client.queue("held").delete(again)
  }, 40_000)

  test("in an open transaction leaves nothing of what it sent", async () => {
    await client.admin.createQueue("held")
    const child = startChild("hold-child.ts", server.url, "send")
    expect(await child.next()).toBe("sent")
    await child.kill()
    await until(
      async () =>
        (await pool.query("select 1 from pg_stat_activity where state like 'idle in transaction%'")).rowCount === 0,
    )
    expect(await client.admin.metrics("held")).toMatchObject({ length: 0 })
    expect(await errorOf(client.admin.getQueue("never"))).toMatchObject({ code: "queue_not_found" })
  }, 40_000)
})

describe("a signal that aborts while a claim is in flight", () => {
  test.each(["read", "readBatch", "readWithPoll"] as const)(
    "waits for it and releases what it leased (%s)",
    async (method) => {
      const queue = await freshQueue()
      await queue.sendBatch([{ payload: 1 }, { payload: 2 }, { payload: 3 }])
      const lock = await pool.connect()
      await lock.query("begin; lock table sluice.message in share mode")
      const controller = new AbortController()
      const options = { signal: controller.signal, ...(method !== "read" && { limit: 2 }) }
      let settled = false
      const error = errorOf(queue[method](options).finally(() => (settled = true)))
      await until(async () => (await waiting()) === 1)
      controller.abort(new Error("stop it"))
      await sleep(50)
      expect(settled).toBe(false)
      await lock.query("rollback")
      lock.release()
      expect(await error).toBeInstanceOf(AbortedError)
      expect(await error).toMatchObject({ code: "aborted", cause: { message: "stop it" } })
      const { items } = await client.admin.messages.list({ queue: queue.name })
      expect(items.map(({ state }) => state)).toEqual(["visible", "visible", "visible"])
      expect(items.map(({ attempt }) => attempt)).toEqual(method === "read" ? [1, 0, 0] : [1, 1, 0])
    },
    30_000,
  )

  test("over a slow network releases too, and before the call nothing is claimed", async () => {
    const proxy = await startProxy(server.url)
    const slowPool = openPool(proxy.url, 1)
    const slow = createClient(pgDriver(slowPool), { listen: false })
    const queue = await freshQueue()
    const id = await queue.send("x")
    await slow.queue(queue.name).metrics() // connects
    proxy.setLatency(300)
    const controller = new AbortController()
    const error = errorOf(slow.queue(queue.name).read({ signal: controller.signal }))
    await until(async () => (await client.admin.messages.get(id))!.attempt === 1)
    controller.abort()
    expect(await error).toBeInstanceOf(AbortedError)
    expect(await client.admin.messages.get(id)).toMatchObject({ state: "visible", attempt: 1 })
    expect(await errorOf(slow.queue(queue.name).read({ signal: AbortSignal.abort() }))).toBeInstanceOf(AbortedError)
    expect(await client.admin.messages.get(id)).toMatchObject({ attempt: 1 })
    await slowPool.end()
    await proxy.stop()
  }, 30_000)
})
