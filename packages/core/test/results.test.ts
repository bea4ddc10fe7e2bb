import { createClient, type Message, type MessageContext, outcome } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterAll, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { url, client, pool, freshQueue } = await harness()
const elsewhere = openPool(url, 3)
const other = createClient(pgDriver(elsewhere), { listen: false })
afterAll(async () => {
  await other.close()
  await elsewhere.end()
})

describe("client.result", () => {
  test("returns what the handler returned, in another process, in a transaction or not, and of a batch each its own", async () => {
    const name = await freshQueue({ results: "1h" })
    const queue = client.queue<number>(name)
    const answers = (ids: string[]): Promise<unknown[]> => Promise.all(ids.map((id) => other.result(id)))
    const ids = await queue.sendBatch([1, 2, 3].map((payload) => ({ payload })))
    const waiting = answers(ids)
    await client.worker([queue.handler(({ payload }) => ({ twice: payload * 2 }))]).drain()
    expect(await waiting).toEqual([{ twice: 2 }, { twice: 4 }, { twice: 6 }])
    const more = await queue.sendBatch([4, 5].map((payload) => ({ payload })))
    await client.worker([queue.handler(({ payload }) => payload, { transactional: true, batch: 2 })]).drain()
    expect(await answers(more)).toEqual([4, 5])
    const last = await queue.sendBatch([6, 7].map((payload) => ({ payload })))
    await client.worker([queue.batchHandler((messages) => messages.map(({ payload }) => `${payload}!`), { size: 10 })]).drain()
    expect(await answers(last)).toEqual(["6!", "7!"])
    expect(await answers(ids)).toHaveLength(3)
  })

  test("is null of a handler that returns nothing, or what cannot be kept, and the work counts as done", async () => {
    const queue = client.queue<number>(await freshQueue({ results: "1h" }))
    const ids = await queue.sendBatch([0, 1].map((payload) => ({ payload })))
    const worker = client.worker([queue.handler(({ payload }) => (payload === 0 ? undefined : 7n))])
    const errors: unknown[] = []
    worker.on("error", ({ error }) => errors.push(error))
    await worker.drain()
    expect(await Promise.all(ids.map((id) => client.result(id)))).toEqual([null, null])
    expect(errors).toMatchObject([{ code: "payload_invalid" }])
  })

  test("rejects with the outcome, and the last error, where the message is dead, cancelled or expired", async () => {
    const queue = client.queue<string>(await freshQueue({ results: "1h", backoff: null, maxAttempts: 2 }))
    const [fails, givesUp, cancels] = await queue.sendBatch(["fails", "gives up", "cancels"].map((payload) => ({ payload })))
    const late = await queue.send("late", { expireAt: new Date(Date.now() - 1) })
    const gone = await queue.send("gone", { delay: "1h" })
    await queue.cancel(gone)
    await client.worker([queue.handler(({ payload }) => (payload === "fails" ? Promise.reject(new Error("no")) : payload === "cancels" ? outcome.cancel() : outcome.deadLetter("enough")))]).drain()
    const failure = (id: string | undefined) => errorOf(client.result(id!, { timeout: "10s" }))
    expect(await failure(fails)).toMatchObject({ code: "message_failed", outcome: "dead", error: { message: "no", attempt: 2 } })
    expect(await failure(givesUp)).toMatchObject({ outcome: "dead", error: { message: "enough" } })
    expect(await failure(cancels)).toMatchObject({ outcome: "cancelled" })
    expect(await failure(late)).toMatchObject({ outcome: "expired" })
    expect(await failure(gone)).toMatchObject({ outcome: "cancelled" })
  })

  test("ends with its time, its signal, or at once with 0; of a queue that keeps none it says what to do", async () => {
    const queue = client.queue(await freshQueue())
    const id = await queue.send(1)
    await client.worker([queue.handler(() => "lost")]).drain()
    expect(await errorOf(client.result(id, { timeout: 0 }))).toMatchObject({ code: "result_timeout", message: expect.stringContaining("results") })
    const stop = new AbortController()
    const waiting = errorOf(client.result(id, { signal: stop.signal }))
    stop.abort()
    expect(await waiting).toMatchObject({ code: "aborted" })
  })

  test("is kept as long as the queue says, and then cleared away", async () => {
    const queue = client.queue(await freshQueue({ results: "1h" }))
    const id = await queue.send(1)
    await client.worker([queue.handler(() => "here")]).drain()
    await moveClock(pool, "61 minutes")
    expect(await errorOf(client.result(id, { timeout: 0 }))).toMatchObject({ code: "result_timeout" })
    await client.maintenance().run()
    expect((await pool.query("select from sluice.result where id = $1", [id])).rowCount).toBe(0)
    await moveClock(pool, "0")
  })

  test("10,000 who wait cost one statement a look", async () => {
    const queue = client.queue<number>(await freshQueue({ results: "1h" }))
    const ids = await queue.sendBatch(Array.from({ length: 10_000 }, (_, payload) => ({ payload })))
    let asked = 0
    const driver = pgDriver(elsewhere)
    const counting = createClient({ ...driver, query: (text, values, options) => (asked += Number(text.includes("results_of")), driver.query(text, values, options)) }, { listen: false })
    const waiting = Promise.all(ids.map((id) => counting.result(id, { timeout: "10m" })))
    await client.worker([queue.batchHandler((messages) => messages.map(({ payload }) => payload), { size: 1000 })]).drain()
    expect(await waiting).toEqual(ids.map((_, i) => i))
    // Each waiter but those of the first turn finds a round at work already.
    expect(asked).toBeLessThan(200)
  })

  test("of many large ones, settles a few at a time: all of them at once would be more than a statement can carry", async () => {
    const queue = client.queue<number>(await freshQueue({ results: "1h" }))
    const ids = await queue.sendBatch([1, 2, 3].map((payload) => ({ payload })))
    const driver = pgDriver(pool)
    const lengths: number[] = []
    const watched = createClient({ ...driver, query: (text, values = [], options) => {
      if (options?.name?.endsWith("finish")) lengths.push(String(values[3]).length)
      return driver.query(text, values, options)
    } }, { listen: false })
    const large = "x".repeat(5 * 1024 * 1024)
    await watched.worker([watched.queue(queue.name).handler(() => large)], { maintenance: false }).drain()
    expect(lengths).toHaveLength(3)
    expect(Math.max(...lengths)).toBeLessThan(6 * 1024 * 1024)
    for (const id of ids) expect(await client.result<string>(id)).toHaveLength(large.length)
  })
})

describe("progress", () => {
  test("is seen beside the message while its handler works, also in a transaction, and refused of a stale lease", async () => {
    for (const transactional of [false, true]) {
      const queue = client.queue(await freshQueue())
      const id = await queue.send(1)
      const seen = Promise.withResolvers<void>()
      const run = async (_: Message, { progress }: MessageContext): Promise<void> => {
        progress(0.1)
        progress(0.5, "half")
        await seen.promise
      }
      const worker = client.worker([transactional ? queue.handler(run, { transactional }) : queue.handler(run)])
      await worker.start()
      await expect.poll(async () => (await client.admin.messages.get(id))?.progress, { timeout: 10_000 }).toMatchObject({ value: 0.5, note: "half", at: expect.any(Date) })
      seen.resolve()
      await worker.drain()
    }
    const queue = client.queue(await freshQueue())
    await queue.send(1)
    const held = (await queue.read({ lease: 0 }))!
    await queue.progress(held, 7)
    await queue.read()
    expect(await errorOf(queue.progress(held, 8))).toMatchObject({ code: "stale_lease" })
    expect((await client.admin.messages.get(held.id))?.progress).toMatchObject({ value: 7, note: null })
  })
})
