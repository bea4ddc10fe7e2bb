import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterAll, describe, expect, test, vi } from "vitest"
import { countingDriver } from "./helpers/counting-driver.ts"
import { errorOf } from "./helpers/error-of.ts"
import { harness, openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

/* What is left of the weaknesses of pgqrs and AsyncMQ; most have their test beside what they are of, named after them. */
const { url, client, pool, freshQueue } = await harness()
const second = openPool(url, 4)
const other = createClient(pgDriver(second), { listen: false, notify: false })
afterAll(async () => {
  await other.close()
  await second.end()
})

describe("pgqrs", () => {
  test("no transactional enqueue: here a rolled back send never was", async () => {
    const queue = client.queue(await freshQueue())
    await errorOf(client.transaction(async (tx) => {
      await queue.send(1, { tx })
      throw new Error("back")
    }))
    expect(await queue.read()).toBeNull()
  })

  test("client clocks decide visibility: here one that is a day off changes nothing", async () => {
    const queue = client.queue(await freshQueue())
    vi.useFakeTimers({ now: Date.now() + 86_400_000, toFake: ["Date"] })
    try {
      await queue.send("now")
      await queue.send("later", { delay: "1h" })
      expect((await queue.read({ lease: "30s" }))?.payload).toBe("now")
      expect(await queue.read()).toBeNull()
    } finally {
      vi.useRealTimers()
    }
  })

  test("a session-level SET search_path: here no statement leaves one on the connection", async () => {
    const one = openPool(url, 1)
    const before = (await one.query("show search_path")).rows
    const own = createClient(pgDriver(one), { listen: false })
    const queue = own.queue(await freshQueue())
    await queue.send(1)
    await queue.delete((await queue.read())!)
    expect((await one.query("show search_path")).rows).toEqual(before)
    await own.close()
    await one.end()
  })

  test("archive grows without retention: here it goes with archiveRetention", async () => {
    const name = await freshQueue({ archiveRetention: "1d" })
    const queue = client.queue(name)
    await queue.send(1)
    await queue.archive((await queue.read())!)
    expect(await client.admin.archive.count({ queue: name })).toBe(1)
    await moveClock(pool, "3 days")
    await client.maintenance().run()
    await moveClock(pool, "0")
    expect(await client.admin.archive.count({ queue: name })).toBe(0)
  })

  test("metrics are full scans: here those of one queue read no page of another's messages", async () => {
    const [small, large] = [await freshQueue(), await freshQueue()]
    await client.queue(small).send(1)
    const pages = async (): Promise<number> => {
      const { rows } = await pool.query("explain (analyze, buffers, format json) select * from sluice.try_metrics($1)", [small])
      const { "Shared Hit Blocks": hit, "Shared Read Blocks": read } = rows[0]["QUERY PLAN"][0].Plan
      return hit + read
    }
    await pages()
    const before = await pages()
    await client.queue(large).sendBatch(Array.from({ length: 5000 }, (_, n) => ({ payload: n })))
    expect(await pages()).toBeLessThan(before + 20)
  })
})

describe("AsyncMQ", () => {
  test("a bulk add is not atomic: here one bad item writes nothing", async () => {
    const queue = client.queue(await freshQueue())
    await errorOf(queue.sendBatch([{ payload: 1 }, { payload: 2, priority: 9 }]))
    expect((await queue.metrics()).length).toBe(0)
  })

  test("rate limits are per process: here two processes share one", async () => {
    const name = await freshQueue({ rateLimit: { limit: 3, per: "1h" } })
    await client.queue(name).sendBatch(Array.from({ length: 8 }, (_, n) => ({ payload: n })))
    const both = await Promise.all([client, other].map((one) => one.queue(name).readBatch({ limit: 8 })))
    const more = await other.queue(name).readBatch({ limit: 8 })
    expect([...both.flat(), ...more]).toHaveLength(3)
  })

  test("no crash recovery by default: here a lease of 30 s is, and nobody has to look for stalled messages", async () => {
    const queue = client.queue(await freshQueue())
    const id = await queue.send(1)
    await queue.read()
    await moveClock(pool, "31 seconds")
    expect(await other.queue(queue.name).read()).toMatchObject({ id, attempt: 2 })
    await moveClock(pool, "0")
  })

  test("a custom id or key loads every job of the queue: here a send with a key costs as many statements however long the queue is", async () => {
    const name = await freshQueue()
    await client.queue(name).sendBatch(Array.from({ length: 1000 }, (_, n) => ({ payload: n })))
    const { driver, counts } = countingDriver(pgDriver(second))
    await createClient(driver, { listen: false, notify: false }).queue(name).send(1, { key: "k" })
    expect([...counts]).toEqual([["send_with", 1]])
  })
})
