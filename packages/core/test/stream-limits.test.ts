import { beforeEach, describe, expect, test } from "vitest"
import { moveClock } from "./helpers/move-clock.ts"
import { eventOf, numbersOf, openTransaction, publish, range, streamHarness, take, takeAll } from "./helpers/streams.ts"

const { client, pool, freshStream, subscribe } = await streamHarness()
const { admin } = client
beforeEach(() => moveClock(pool, "0"))

describe("maxEvents", () => {
  test.each([[9, 10], [10, 10], [11, 10], [30, 10], [7, 1], [100, 99]])("cuts one transaction of %i events into batches of %i, in order, none lost", async (count, maxEvents) => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await publish(stream, range(1, count))
    const batches = await takeAll(sub, { maxEvents })
    expect(batches.flat()).toEqual(range(1, count))
    expect(batches.map(({ length }) => length)).toEqual([...Array.from({ length: Math.ceil(count / maxEvents) - 1 }, () => maxEvents), (count - 1) % maxEvents + 1])
  })

  test("cuts a window of interleaved transactions by id; what commits between its slices comes after them", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    const [a, b, c] = await Promise.all([openTransaction(pool), openTransaction(pool), openTransaction(pool)])
    for (let n = 1; n <= 10; n++) await publish(stream, [n], [a, b, c][n % 3]!.tx)
    await a.end()
    await b.end()
    // Ids 3, 6, 9 are a's, 1, 4, 7, 10 are b's.
    expect(await take(sub, { maxEvents: 4 })).toEqual([1, 3, 4, 6])
    await c.end()
    await publish(stream, [11])
    expect(await takeAll(sub, { maxEvents: 4 })).toEqual([[7, 9, 10], [2, 5, 8, 11]])
  })

  test("holds for what is in ticks, too: 5,000 events in 50 transactions", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    for (let i = 0; i < 50; i++) {
      await publish(stream, range(100 * i + 1, 100 * i + 100))
      if (i % 4 === 0) await admin.forceTick(stream.name)
    }
    const batches = await takeAll(sub, { maxEvents: 500 })
    expect(batches.flat()).toEqual(range(1, 5000))
    expect(Math.max(...batches.map(({ length }) => length))).toBeLessThanOrEqual(500)
    // Up to ticks: no window was longer than it had to be, so that none was cut.
    expect((await pool.query("select from sluice.slice p join sluice.subscription s on s.id = p.subscription join sluice.queue q on q.id = s.stream where q.name = $1", [stream.name])).rowCount).toBe(0)
  })

  test("a giant transaction: 50,000 events in slices, each read in chunks", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await pool.query("select sluice.try_publish($1, (select jsonb_agg(jsonb_build_object('type', 'n', 'data', n)) from generate_series(1, 50000) n))", [stream.name])
    const batches = await takeAll(sub, { maxEvents: 20_000, chunk: 7000 })
    expect(batches.map(({ length }) => length)).toEqual([20_000, 20_000, 10_000])
    expect(batches.flat()).toEqual(range(1, 50_000))
  })

  test.each([1, 2, 3, 5, 6, 7])("events come in chunks of %i, again and again, and in order", async (chunk) => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await publish(stream, range(1, 6))
    const batch = (await sub.nextBatch({ chunk }))!
    expect(await numbersOf(batch)).toEqual(range(1, 6))
    expect(await numbersOf(batch)).toEqual(range(1, 6))
    for (const n of [5, 2, 3]) batch.retry(await eventOf(batch, n), { delay: 0 })
    await batch.finish()
    const retried = (await sub.nextBatch({ chunk }))!
    expect(await numbersOf(retried)).toEqual([2, 3, 5])
    expect(await numbersOf(retried)).toEqual([2, 3, 5])
  })

  test("holds for retries, those due first before the others", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await publish(stream, range(1, 6))
    const batch = (await sub.nextBatch())!
    for (const n of range(1, 6)) batch.retry(await eventOf(batch, n), { delay: `${7 - n}s` })
    await batch.finish()
    await moveClock(pool, "10 seconds")
    expect(await takeAll(sub, { maxEvents: 4 })).toEqual([[3, 4, 5, 6], [1, 2]])
  })
})

describe("minEvents and maxWait", () => {
  test("nothing before there are enough, unless the oldest has waited long enough (pgq_core: min_count, min_interval)", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    await publish(stream, [1, 2])
    const limits = { minEvents: 3, maxWait: "10s" } as const
    expect(await sub.nextBatch(limits)).toBeNull()
    await moveClock(pool, "11 seconds")
    expect(await take(sub, limits)).toEqual([1, 2])
    await publish(stream, [3, 4])
    expect(await sub.nextBatch(limits)).toBeNull()
    await publish(stream, [5])
    expect(await take(sub, limits)).toEqual([3, 4, 5])
    await publish(stream, [6])
    await moveClock(pool, "1 year")
    expect(await sub.nextBatch({ minEvents: 10_000 })).toBeNull()
    expect(await take(sub)).toEqual([6])
  })

  test("more than maxEvents: waits for them all, then comes in slices", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    const limits = { minEvents: 10, maxEvents: 4 }
    await publish(stream, range(1, 9))
    expect(await sub.nextBatch(limits)).toBeNull()
    await publish(stream, [10])
    expect(await takeAll(sub, limits)).toEqual([range(1, 4), range(5, 8), [9, 10]])
  })

  test("too few up to one tick, and enough up to a later one", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    for (let i = 0; i < 4; i++) {
      await publish(stream, range(6 * i + 1, 6 * i + 6))
      await admin.forceTick(stream.name)
    }
    // A window of two ticks has 12, too many; of one 6, too few.
    expect((await takeAll(sub, { minEvents: 10, maxEvents: 10 })).flat()).toEqual(range(1, 24))
  })

  test("what was rolled back is not counted", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    const { tx, end } = await openTransaction(pool)
    await publish(stream, range(1, 20), tx)
    await end("rollback")
    await publish(stream, [21])
    await admin.forceTick(stream.name)
    await publish(stream, [22])
    expect(await sub.nextBatch({ minEvents: 3, maxEvents: 5 })).toBeNull()
    await publish(stream, [23])
    expect(await takeAll(sub, { minEvents: 3, maxEvents: 5 })).toEqual([[21, 22, 23]])
  })
})

describe("minLag", () => {
  test("gives what was committed that long ago, without maintenance (pgq_core: min_lag)", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    const late = await openTransaction(pool)
    await publish(stream, [1], late.tx)
    await publish(stream, [2])
    await moveClock(pool, "4 seconds")
    expect(await sub.nextBatch({ minLag: "1h" })).toBeNull() // and ticks, since nobody else did
    await moveClock(pool, "50 minutes")
    await late.end()
    await publish(stream, [3])
    expect(await sub.nextBatch({ minLag: "1h" })).toBeNull()
    await moveClock(pool, "61 minutes")
    expect(await take(sub, { minLag: "1h" })).toEqual([2])
    expect(await sub.nextBatch({ minLag: "1h" })).toBeNull()
    await moveClock(pool, "122 minutes")
    expect(await takeAll(sub, { minLag: "1h" })).toEqual([[1, 3]])
    await publish(stream, [4])
    expect(await sub.nextBatch({ minLag: "1h" })).toBeNull()
    expect(await take(sub)).toEqual([4])
  })

  test("with maintenance, which ticks", async () => {
    const stream = await freshStream({ tickerMaxLag: "1s" })
    const sub = await subscribe(stream)
    const maintenance = client.maintenance()
    const seen: (number[] | null)[] = []
    for (let second = 0; second <= 20; second += 2) {
      await moveClock(pool, `${second} seconds`)
      if (second < 10) await publish(stream, [second])
      await maintenance.run()
      seen.push(await take(sub, { minLag: "5s" }))
    }
    expect(seen.flatMap((numbers) => numbers ?? [])).toEqual([0, 2, 4, 6, 8])
    // The first tick that has an event is at second 2, and 5 s old at 8.
    expect(seen.findIndex((numbers) => numbers !== null)).toBe(4)
  })

  test("after readers without it, goes on where they are", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    for (let n = 1; n <= 3; n++) {
      await publish(stream, [n])
      await admin.forceTick(stream.name)
    }
    await publish(stream, [4])
    expect(await take(sub)).toEqual([1, 2, 3, 4])
    await moveClock(pool, "10 seconds")
    expect(await sub.nextBatch({ minLag: "5s" })).toBeNull()
    await publish(stream, [5])
    expect(await sub.nextBatch({ minLag: "5s" })).toBeNull()
    await moveClock(pool, "20 seconds")
    expect(await sub.nextBatch({ minLag: "5s" })).toBeNull()
    await moveClock(pool, "40 seconds")
    expect(await takeAll(sub, { minLag: "5s" })).toEqual([[5]])
  })
})
