import { type Backoff, type HandlerOptions, QueueOptionsDifferError } from "@sluice/core"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { runWorkers } from "./helpers/run-workers.ts"
import { sqlOn } from "./helpers/sql-on.ts"

const { client, pool, freshQueue } = await harness()
const { rows } = sqlOn(pool)
const { drain } = runWorkers(client)
beforeEach(() => moveClock(pool, "0"))

/** Of attempts that failed: how many seconds each message waits, as the queue's backoff has it. */
async function waits(backoff: Backoff | null, attempts: readonly number[]): Promise<number[]> {
  const name = await freshQueue({ backoff, maxAttempts: null })
  return (await rows(
    `select extract(epoch from sluice.ready_again(q.backoff, attempt, '{"to": "retry"}', '2026-01-01') - '2026-01-01'::timestamptz)::float8 as s
       from sluice.queue q, unnest($2::int[]) with ordinality u(attempt, n) where q.name = $1 order by n`,
    [name, attempts],
  )).map(({ s }) => s)
}

const huge = [1001, 100_000, 2_147_483_647]

describe("a failed message waits", () => {
  test.each<[string, Backoff | null, number[], number[]]>([
    ["fixed", { kind: "fixed", base: "7s", jitter: 0 }, [1, 2, 20, ...huge], [7, 7, 7, 7, 7, 7]],
    ["linear", { kind: "linear", base: "2s", max: "1m", jitter: 0 }, [1, 2, 29, 30, 31, ...huge], [2, 4, 58, 60, 60, 60, 60, 60]],
    ["exponential", { kind: "exponential", base: "1s", max: "10m", jitter: 0 }, [1, 2, 3, 10, 11, ...huge], [1, 2, 4, 512, 600, 600, 600, 600]],
    ["exponential, to the longest that there is", { kind: "exponential", base: "36500d", max: "36500d", jitter: 0 }, [1, ...huge], [3_153_600_000, 3_153_600_000, 3_153_600_000, 3_153_600_000]],
    ["linear, to the longest that there is", { kind: "linear", base: "36499d", max: "36500d", jitter: 0 }, [1, ...huge], [3_153_513_600, 3_153_600_000, 3_153_600_000, 3_153_600_000]],
    ["not at all, from a base of 0", { kind: "exponential", base: 0, jitter: 1 }, [1, 5, ...huge], [0, 0, 0, 0, 0]],
    ["not at all, without a backoff", null, [1, 5, ...huge], [0, 0, 0, 0, 0]],
  ])("%s", async (_, backoff, attempts, expected) => {
    expect(await waits(backoff, attempts)).toEqual(expected)
  })

  test.each([
    [0, 10, 10],
    [0.2, 8, 10],
    [0.5, 5, 10],
    [1, 0, 10],
  ])("with jitter %d from %d to %d seconds, all over", async (jitter, least, most) => {
    const seconds = await waits({ kind: "exponential", base: "1s", max: "10s", jitter }, Array.from({ length: 1000 }, () => 30))
    expect(Math.min(...seconds)).toBeGreaterThanOrEqual(least)
    expect(Math.max(...seconds)).toBeLessThanOrEqual(most)
    const part = (most - least) / 4
    expect(new Set(seconds.map((s) => Math.min(3, Math.floor((s - least) / part)))).size).toBe(jitter === 0 ? 1 : 4)
  })

  test("by default exponentially from 0.8 to 1 second, up to ten minutes", async () => {
    const name = await freshQueue()
    expect((await client.admin.getQueue(name)).backoff).toEqual({ kind: "exponential", base: "1s", max: "10m", jitter: 0.2 })
    await client.queue(name).send(1)
    const [told] = await drain(client.queue(name).handler(() => Promise.reject(new Error("no"))))
    expect(told).toMatchObject({ event: "retry", visibleAt: expect.any(Date) })
    expect(await client.queue(name).read()).toBeNull()
    await moveClock(pool, "1 second")
    expect(await client.queue(name).read()).toMatchObject({ attempt: 2 })
  })
})

test("the wait is told, kept, and over when it says", async () => {
  const name = await freshQueue({ backoff: { kind: "linear", base: "10s", jitter: 0 } })
  const queue = client.queue(name)
  const id = await queue.send(1)
  for (const [attempt, clock] of [[1, "11 seconds"], [2, "32 seconds"], [3, "63 seconds"]] as const) {
    const [told] = await drain(queue.handler(() => Promise.reject(new Error(`${attempt}`))))
    expect(told).toMatchObject({ event: "retry", message: { id, attempt } })
    expect((await client.admin.messages.get(id))!.visibleAt).toEqual((told as { visibleAt: Date }).visibleAt)
    expect(await queue.read()).toBeNull()
    await moveClock(pool, clock)
  }
  expect(await queue.read()).toMatchObject({ id, attempt: 4 })
})

test("a backoff that is changed counts from the next failure on, while workers run", async () => {
  const name = await freshQueue({ backoff: null, maxAttempts: 100 })
  const queue = client.queue(name)
  const id = await queue.send(1)
  const told = await drain(
    queue.handler(async ({ attempt }) => {
      if (attempt === 3) await client.admin.updateQueue(name, { backoff: { kind: "fixed", base: "1h", max: "1h", jitter: 0 } })
      throw new Error("no")
    }),
  )
  expect(told).toHaveLength(3)
  await moveClock(pool, "3599 seconds")
  expect(await queue.read()).toBeNull()
  await moveClock(pool, "3601 seconds")
  expect(await queue.read()).toMatchObject({ id, attempt: 4 })
})

describe("a handler's backoff", () => {
  test("is asked with the attempt and its error, in place of the queue's", async () => {
    const queue = client.queue(await freshQueue())
    await queue.send(1)
    const asked: unknown[] = []
    const [told] = await drain(
      queue.handler(() => Promise.reject(new TypeError("boom")), {
        backoff: (attempt, error) => {
          asked.push([attempt, (error as Error).message])
          return "2h"
        },
      }),
    )
    expect(asked).toEqual([[1, "boom"]])
    await moveClock(pool, "7190 seconds")
    expect(await queue.read()).toBeNull()
    await moveClock(pool, "7201 seconds")
    expect(await queue.read()).toMatchObject({ attempt: 2 })
    expect(told).toMatchObject({ event: "retry", error: { message: "boom" } })
  })

  test("of 0 is at once", async () => {
    const queue = client.queue(await freshQueue({ maxAttempts: 50 }))
    await queue.send(1)
    expect(await drain(queue.handler(() => Promise.reject(new Error("no")), { backoff: () => 0 }))).toHaveLength(50)
  })

  const rejection = (): Promise<never> => Promise.reject(new Error("too late"))
  test.each<[string, () => unknown, string]>([
    ["throws", () => { throw new RangeError("bad sum") }, "backoff failed: bad sum, asked about: boom"],
    ["throws undefined", () => { throw undefined }, "backoff failed: undefined, asked about: boom"],
    ["returns a number", () => 5, 'backoff failed: backoff: 5 is not a duration: write "5s" for seconds or "5ms" for milliseconds, asked about: boom'],
    ["returns nothing", () => undefined, "backoff failed: backoff: undefined is not a duration"],
    ["returns NaN", () => NaN, "backoff failed: backoff: NaN is not a duration"],
    ["returns a negative one", () => "-1s", "backoff failed: backoff: \"-1s\" is not a duration"],
    ["returns too much", () => "99999999999d", "backoff failed: backoff: is longer than 36500d"],
    ["returns a promise", async () => "1s", "backoff failed: backoff: must return a duration at once, got an object (Promise)"],
    ["returns a promise that rejects", rejection, "backoff failed: backoff: must return a duration at once, got an object (Promise)"],
    ["returns what cannot be looked at", () => new Proxy({}, { get: () => { throw new Error("hands off") } }), "backoff failed: hands off"],
  ])("that %s is kept with the error, and the loop goes on by the queue's", async (_, backoff, message) => {
    const queue = client.queue(await freshQueue({ backoff: { kind: "fixed", base: "30s", jitter: 0 } }))
    const [first, second] = await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
    const run = ({ payload }: { payload: unknown }): void => {
      if (payload === 1) throw new Error("boom")
    }
    const told = await drain(queue.handler(run, { concurrency: 1, backoff: backoff as HandlerOptions["backoff"] & {} }))
    expect(told.map(({ event, ...rest }) => [event, (rest as { message: { id: string } }).message.id])).toEqual([["retry", first], ["done", second]])
    const kept = (await client.admin.messages.get(first!))!
    expect(kept.errors).toMatchObject([{ name: "AggregateError", message: expect.stringContaining(message), attempt: 1, stack: expect.stringContaining("Caused by: Error: boom") }])
    await moveClock(pool, "29 seconds")
    expect(await queue.read()).toBeNull()
    await moveClock(pool, "31 seconds")
    expect(await queue.read()).toMatchObject({ id: first })
  })
})

describe("createQueue tells a backoff that differs as options have it", () => {
  test.each<[Backoff | null, Backoff | null, unknown]>([
    [{ kind: "fixed", base: "90s" }, { kind: "fixed", base: "2m" }, { stored: { kind: "fixed", base: "90s", max: "10m", jitter: 0.2 }, requested: { kind: "fixed", base: "2m", max: "10m", jitter: 0.2 } }],
    [null, { kind: "linear", base: "250ms", max: "1h", jitter: 0.5 }, { stored: null, requested: { kind: "linear", base: "250ms", max: "1h", jitter: 0.5 } }],
    [{ kind: "exponential", base: 0 }, null, { stored: { kind: "exponential", base: 0, max: "10m", jitter: 0.2 }, requested: null }],
  ])("%j and %j", async (stored, requested, difference) => {
    const name = await freshQueue({ backoff: stored, done: "archive", onInvalid: "raise" })
    const error = await errorOf<QueueOptionsDifferError>(client.admin.createQueue(name, { backoff: requested, done: "delete", onInvalid: "deadLetter" }))
    expect(error).toBeInstanceOf(QueueOptionsDifferError)
    expect(error.differences).toEqual([
      { option: "backoff", ...(difference as object) },
      { option: "done", stored: "archive", requested: "delete" },
      { option: "onInvalid", stored: "raise", requested: "deadLetter" },
    ])
    expect(error.message).toContain(`client.admin.updateQueue("${name}"`)
    expect(await client.admin.updateQueue(name, { backoff: requested })).toMatchObject({ backoff: (difference as { requested: unknown }).requested })
    expect(await client.admin.createQueue(name, { backoff: requested })).toMatchObject({ created: false, done: "archive" })
  })

  test("and takes the same one written otherwise for the same", async () => {
    const name = await freshQueue({ backoff: { kind: "fixed", base: "60s", max: "1h", jitter: 0.2 } })
    expect(await client.admin.createQueue(name, { backoff: { kind: "fixed", base: "1m", max: "60m" } })).toMatchObject({ created: false })
  })
})
