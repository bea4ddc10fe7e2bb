import { setTimeout as sleep } from "node:timers/promises"
import { beforeEach, describe, expect, test } from "vitest"
import { createEffectTable, effectsOf, tellingOf } from "./helpers/effects.ts"
import { flipDuring, flipState, flipUntil, makeFlipPay } from "./helpers/flip.ts"
import { harness } from "./helpers/harness.ts"

const { client, pool, freshQueue } = await harness()
await createEffectTable(pool)

beforeEach(async () => {
  await pool.query("delete from sluice.message")
  await client.maintenance().run() // ends a flip that a test before left
})

describe("a flip beside a transactional handler", () => {
  /** A worker whose handlers, two messages to a transaction, wait at each for what `at` does. */
  async function work(at: (payload: number) => Promise<unknown>, failing = false) {
    const name = await freshQueue({ backoff: null, done: "archive" })
    await client.queue(name).sendBatch([{ payload: 1 }, { payload: 2 }])
    await makeFlipPay(pool)
    const worker = client.worker([client.queue<number>(name).handler(async ({ payload, attempt }, { tx }) => {
      await tx.query("insert into effect (queue, n) values ($1, $2)", [name, payload])
      if (attempt === 1) await at(payload)
      if (failing && attempt === 1) throw new Error("once")
    }, { transactional: true, batch: 2 })], { maintenance: false, concurrency: 1 })
    const told = tellingOf(worker)
    await worker.drain()
    expect(await effectsOf(pool, name)).toEqual([1, 2])
    expect(await client.admin.metrics(name)).toMatchObject({ length: 0 })
    expect(await client.admin.archive.count({ queue: name, outcome: "done" })).toBe(2)
    return told
  }

  test.each([1, 2])("begun while it runs the message %i: moves nothing that is locked, and waits for its end; others go on", async (when) => {
    const other = client.queue(await freshQueue())
    let did: string[] = []
    const told = await work(async (payload) => {
      if (payload !== when) return
      const ids = [await other.send("old")]
      did = await flipUntil(pool, "drained")
      ids.push(await other.send("new"))
      const read = await other.readBatch({ limit: 5 })
      expect(read.map(({ id }) => id).sort()).toEqual(ids.sort())
      expect(await other.deleteBatch(read)).toMatchObject({ refused: [] })
    })
    expect(did.at(0)).toBe("begun")
    expect(did.at(-1)).toBe("waits")
    expect(told).toEqual(["done 1", "done 2"])
    expect(await flipUntil(pool, "truncated")).toContain("truncated")
    expect(await flipState(pool)).toMatchObject({ left: 0 })
  })

  test("begun while it runs, of messages that fail: they are given back, and move later", async () => {
    const told = await work(async (payload) => payload === 1 && expect(await flipUntil(pool, "drained")).toContain("begun"), true)
    expect(told).toEqual(["retry 1", "retry 2", "done 1", "done 2"])
    expect(await flipUntil(pool, "truncated")).toContain("truncated")
  })

  test("which moves the messages between claim and lock: they are found where they went", async () => {
    const name = await freshQueue({ backoff: null, done: "archive" })
    await client.queue(name).sendBatch([{ payload: 1 }, { payload: 2 }])
    await makeFlipPay(pool)
    await pool.query("select sluice.flip_step(0, 0, '0')")
    const messages = await client.queue(name).readBatch({ limit: 2 })
    await flipDuring(pool, () =>
      client.transaction(async (tx) => {
        const text = "select id::text from sluice.try_lock($1, $2::bigint[], $3::bigint[])"
        const { rows } = await tx.query(text, [name, messages.map(({ id }) => id), messages.map(({ lease }) => lease)])
        expect(rows.map(({ id }) => id as string).sort()).toEqual(messages.map(({ id }) => id))
        expect(await client.queue(name).archiveBatch(messages, { tx })).toMatchObject({ refused: [] })
      }))
    expect(await client.admin.archive.count({ queue: name })).toBe(2)
  })

  test("a beat waits for nobody while a flip waits for a handler", async () => {
    let beats = 0
    const name = await freshQueue()
    const told = await work(async (payload) => {
      if (payload === 2) return
      await flipUntil(pool, "drained")
      const beating = client.worker([client.queue(name).handler(() => {}, { lease: "90ms" })], { maintenance: false })
      await beating.start()
      const at = async (): Promise<unknown> => (await pool.query("select beat_at from sluice.worker where name = $1", [beating.name])).rows[0].beat_at
      for (let last = await at(); beats < 3; await sleep(10)) {
        const next = await at()
        if (String(Number(next)) !== String(Number(last))) beats++
        last = next
      }
      await beating.stop()
    })
    expect(beats).toBe(3)
    expect(told).toEqual(["done 1", "done 2"])
  })
})
