import { beforeEach, describe, expect, test } from "vitest"
import { moveClock } from "./helpers/move-clock.ts"
import { eventOf, numbersOf, publish, range, streamHarness, takeAll, type TestStream } from "./helpers/streams.ts"

const { client, pool, freshStream, subscribe } = await streamHarness()
let seconds = 0
beforeEach(async () => {
  seconds = 0
  await moveClock(pool, "0")
})

/** A reader takes a batch and dies: the batch, once its lease is over. */
async function dies(stream: TestStream) {
  const batch = await stream.subscription("sub", { owner: crypto.randomUUID() }).nextBatch()
  await moveClock(pool, `${(seconds += 31)} seconds`)
  return batch
}

/** Readers that die of what is among `killers`, and finish the rest, until there is nothing left: what each killer was delivered. */
async function readers(stream: TestStream, killers: readonly number[]) {
  const deaths = new Map(killers.map((n) => [n, 0]))
  const done: number[] = []
  for (;;) {
    const batch = await stream.subscription("sub", { owner: crypto.randomUUID() }).nextBatch()
    const numbers = await numbersOf(batch)
    if (numbers === null) return { deaths, done }
    for (const n of killers) if (numbers.includes(n)) deaths.set(n, deaths.get(n)! + 1)
    if (numbers.some((n) => killers.includes(n))) await moveClock(pool, `${(seconds += 31)} seconds`)
    else {
      await batch!.finish()
      done.push(...numbers)
    }
  }
}

describe("a batch that nobody finishes", () => {
  test("comes five times, then its events one by one", async () => {
    const stream = await freshStream()
    await subscribe(stream)
    await publish(stream, [1, 2, 3])
    for (const attempt of range(1, 5)) expect(await dies(stream)).toMatchObject({ count: 3, attempt })
    const sub = stream.subscription("sub", { owner: "z" })
    for (const n of [1, 2, 3]) {
      const batch = (await sub.nextBatch())!
      expect(await batch.list()).toMatchObject([{ data: n, attempt: 6 }])
      await batch.finish()
    }
    expect(await takeAll(sub)).toEqual([])
    expect(await client.admin.deadEvents(stream.name, "sub")).toEqual([])
  })

  test.each([[20, 20], [7, 7], [5, 5], [3, 3], [1, 2]])("with maxAttempts %i: an event that kills its readers is dead after %i deliveries, and the others get through", async (maxAttempts, deliveries) => {
    const stream = await freshStream()
    await subscribe(stream, "sub", { maxAttempts })
    await publish(stream, range(1, 6))
    const { deaths, done } = await readers(stream, [3, 5])
    // Whose fault it was shows when each is alone, which takes one delivery more where there was only one.
    expect([...deaths.values()]).toEqual([deliveries, deliveries].map((n) => Math.max(n, Math.min(maxAttempts, 5) + (maxAttempts <= 5 ? 1 : 0))))
    expect(done.toSorted((a, b) => a - b)).toEqual([1, 2, 4, 6])
    expect(new Set((await client.admin.deadEvents(stream.name, "sub")).map(({ data }) => data))).toEqual(new Set([3, 5]))
    await publish(stream, [7])
    expect(await takeAll(stream.subscription("sub"))).toEqual([[7]])
  })

  test("of one event counts it as its own fault at once", async () => {
    const stream = await freshStream()
    await subscribe(stream, "sub", { maxAttempts: 2 })
    await publish(stream, [1])
    expect(await readers(stream, [1])).toMatchObject({ deaths: new Map([[1, 2]]) })
  })

  test("of retried events does not go beyond their limit of attempts", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream, "sub", { maxAttempts: 4 })
    await publish(stream, [1, 2])
    for (const _ of [1, 2]) {
      const batch = (await sub.nextBatch())!
      for (const n of [1, 2]) batch.retry(await eventOf(batch, n), { delay: 0 })
      await batch.finish()
    }
    const { deaths, done } = await readers(stream, [2])
    // Two deliveries as above, two more together, and one alone.
    expect(deaths).toEqual(new Map([[2, 3]]))
    expect(done).toEqual([1])
    expect(await client.admin.deadEvents(stream.name, "sub")).toMatchObject([{ data: 2, attempt: 4 }])
  })

  test("of slices and retries sets apart only its own", async () => {
    const stream = await freshStream()
    await subscribe(stream)
    await publish(stream, range(1, 6))
    const [first] = [await stream.subscription("sub", { owner: "first" }).nextBatch({ maxEvents: 3 })]
    expect(await numbersOf(first)).toEqual([1, 2, 3])
    await moveClock(pool, `${(seconds += 31)} seconds`)
    for (const _ of range(2, 5)) expect(await numbersOf(await dies(stream))).toEqual([1, 2, 3])
    expect((await takeAll(stream.subscription("sub", { owner: "z" }), { maxEvents: 3 }))).toEqual([[1], [2], [3], [4, 5, 6]])
  })

  test("and was always given back is not suspected", async () => {
    const stream = await freshStream()
    await subscribe(stream)
    await publish(stream, [1, 2])
    for (const _ of range(1, 10)) {
      const batch = (await stream.subscription("sub", { owner: crypto.randomUUID() }).nextBatch())!
      expect(batch).toMatchObject({ count: 2, attempt: 1 })
      await batch.release()
    }
  })
})

test("events that are due together with one to be read alone come together until then", async () => {
  const stream = await freshStream()
  const sub = await subscribe(stream)
  await publish(stream, [1, 2])
  for (const _ of range(1, 5)) await dies(stream)
  const alone = (await sub.nextBatch())!
  expect(await numbersOf(alone)).toEqual([1])
  alone.retry(await eventOf(alone, 1), { delay: "10s" })
  await alone.finish()
  const second = (await sub.nextBatch())!
  expect(await numbersOf(second)).toEqual([2])
  await second.finish()
  await publish(stream, range(3, 6))
  const rest = (await sub.nextBatch())!
  for (const n of [3, 4, 5]) rest.retry(await eventOf(rest, n), { delay: "5s" })
  rest.retry(await eventOf(rest, 6), { delay: "20s" })
  await rest.finish()
  await moveClock(pool, `${seconds + 30} seconds`)
  expect(await takeAll(sub)).toEqual([[3, 4, 5], [1], [6]])
})
