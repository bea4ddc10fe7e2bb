import { createClient, type Driver, outcome, QueueNotFoundError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import type { PoolClient } from "pg"
import { beforeEach, describe, expect, test } from "vitest"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { runWorkers } from "./helpers/run-workers.ts"

const { client: other, pool, freshQueue } = await harness()
const { admin } = other

/** What the worker's own client runs, by name; `broken` may end a statement otherwise. */
const ran: string[] = []
type Break = (name: string, run: () => Promise<unknown[]>) => Promise<unknown[]>
let broken: Break = (_, run) => run()
const plain = pgDriver(pool)
const driver: Driver<PoolClient> = {
  ...plain,
  query: (text, values, options) => {
    const name = options?.name?.replace("sluice_", "") ?? text
    ran.push(name)
    return broken(name, () => plain.query(text, values, options)) as never
  },
}
const client = createClient(driver, { listen: false, notify: false })
const { make, drain } = runWorkers(client)
beforeEach(async () => {
  await moveClock(pool, "0")
  broken = (_, run) => run()
})

const settles = (): number => ran.filter((name) => name === "finish").length
const lost = (): Error => Object.assign(new Error("Connection terminated unexpectedly"), { code: "08006" })

/** A door that handlers wait at until `count` of them are there. */
function door(count: number): () => Promise<void> {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => (open = resolve))
  return () => {
    if (--count === 0) open()
    return opened
  }
}

describe("what is finished in the same turn is one statement:", () => {
  test.each<[string, (n: number) => unknown]>([
    ["all done", () => undefined],
    ["all failed", () => Promise.reject(new Error("no"))],
    ["all kinds, returned and thrown", (n) => [outcome.done, () => undefined, () => outcome.snooze("1h"), outcome.cancel, () => outcome.deadLetter("x"), () => Promise.reject(new Error("no")), () => Promise.reject(outcome.retry({ delay: "1h" })), () => outcome.retry({ error: "x" })][n % 8]!()],
  ])("200 messages, %s", async (_, decide) => {
    const queue = client.queue<number>(await freshQueue())
    await queue.sendBatch(Array.from({ length: 200 }, (__, payload) => ({ payload })))
    const wait = door(200)
    const { worker, told } = make([queue.handler(async ({ payload }) => (await wait(), decide(payload)))], { concurrency: 200 })
    ran.splice(0)
    await worker.drain()
    expect(told).toHaveLength(200)
    expect(settles()).toBe(1)
  })

  test("and what is finished while one is under way is the next", async () => {
    const queue = client.queue<number>(await freshQueue())
    await queue.sendBatch(Array.from({ length: 100 }, (_, payload) => ({ payload })))
    let finished = 0
    let go = (): void => {}
    const all = new Promise<void>((resolve) => (go = resolve))
    broken = async (name, run) => {
      if (name === "finish") await all // the first of them waits for every handler
      return run()
    }
    const { worker, told } = make([
      queue.handler(async ({ payload }) => {
        await new Promise((resolve) => setTimeout(resolve, payload % 7))
        if (++finished === 100) go()
      }),
    ], { concurrency: 100 })
    ran.splice(0)
    await worker.drain()
    expect(told.map(({ event }) => event)).toEqual(Array.from({ length: 100 }, () => "done"))
    expect(settles()).toBe(2)
  })

  test("the messages of a batch handler, and 10,000 of them as ten", async () => {
    const queue = client.queue(await freshQueue())
    for (const [count, statements] of [[150, 1], [10_000, 10]] as const) {
      await queue.sendBatch(Array.from({ length: count }, () => ({ payload: 1 })))
      ran.splice(0)
      expect(await drain(queue.batchHandler(() => {}, { size: count, concurrency: 1 }))).toHaveLength(count)
      expect(settles()).toBe(statements)
    }
  })
})

test("the outcomes of many in one statement are each their own", async () => {
  const dead = await freshQueue()
  const name = await freshQueue({ done: "archive", deadLetter: dead, backoff: { kind: "fixed", base: "30s", jitter: 0 } })
  const queue = client.queue<string>(name)
  const kinds = ["done", "snooze", "cancel", "dead", "fail", "retry"]
  const ids = await queue.sendBatch(kinds.toReversed().map((payload) => ({ payload })))
  const wait = door(kinds.length)
  ran.splice(0)
  const told = await drain(
    queue.handler(async ({ payload }) => {
      await wait()
      if (payload === "fail") throw new Error(`of ${payload}`)
      return { done: outcome.done, snooze: () => outcome.snooze("2h"), cancel: () => outcome.cancel("of cancel"), dead: () => outcome.deadLetter("of dead"), retry: () => outcome.retry({ delay: "1h", error: "of retry" }) }[payload]!()
    }),
  )
  expect(settles()).toBe(1)
  expect(told.map(({ event }) => event).toSorted()).toEqual(["cancelled", "dead", "done", "retry", "retry", "snooze"])
  const found = await Promise.all(ids.map(async (id) => (await admin.messages.get(id)) ?? (await admin.archive.get(id))))
  const told3 = found.map((one) => [one!.payload, one!.queue === dead ? "dead" : "outcome" in one! ? one.outcome : one!.attempt, one!.errors.map(({ message, attempt }) => [message, attempt])])
  expect(told3).toEqual([
    ["retry", 1, [["of retry", 1]]],
    ["fail", 1, [["of fail", 1]]],
    ["dead", "dead", [["of dead", 1]]],
    ["cancel", "cancelled", [["of cancel", 1]]],
    ["snooze", 0, []],
    ["done", "done", []],
  ])
  const due = async (clock: string): Promise<string[]> => {
    await moveClock(pool, clock)
    return (await queue.readBatch({ limit: 9, lease: "1d" })).map(({ payload }) => payload)
  }
  expect([await due("29 seconds"), await due("31 seconds"), await due("3601 seconds"), await due("7201 seconds")]).toEqual([[], ["fail"], ["retry"], ["snooze"]])
})

test("a stale one among many is refused alone, and what its new holder has is untouched", async () => {
  const name = await freshQueue({ backoff: null })
  const queue = client.queue<number>(name)
  const ids = await queue.sendBatch(Array.from({ length: 20 }, (_, payload) => ({ payload })))
  const wait = door(20)
  let stolen: Awaited<ReturnType<typeof queue.read>> = null
  let released = false
  const { worker, told } = make([
    queue.handler(async ({ payload, id, lease }) => {
      if (payload === 7) {
        // As when the lease had run out: given back, and read by another.
        await other.queue(name).release({ id, lease })
        stolen = (await other.queue<number>(name).read({ lease: "1h" }))!
        released = true
      }
      await wait()
      if (payload % 2 === 1) throw new Error("odd")
    }),
  ], { concurrency: 20 })
  ran.splice(0)
  worker.on("retry", () => void worker.stop())
  await worker.start()
  await expect.poll(() => told.length).toBeGreaterThanOrEqual(20)
  await worker.stop()
  expect(released).toBe(true)
  expect(told.filter(({ event }) => event === "lost")).toMatchObject([{ message: { id: ids[7] } }])
  expect(told.filter(({ event }) => event === "done").map((one) => (one as { message: { payload: number } }).message.payload)).toEqual(expect.arrayContaining([0, 2, 4, 18]))
  expect(await admin.messages.get(ids[7]!)).toMatchObject({ attempt: 2, state: "inFlight", errors: [] })
  await other.queue(name).delete(stolen!)
})

describe("a settle over a connection that breaks", () => {
  const payloads = [0, 1, 2, 3]
  const run = async ({ payload }: { payload: number }): Promise<unknown> => {
    if (payload === 1) throw new Error("once")
    return [undefined, undefined, outcome.snooze("1h"), outcome.deadLetter("gone")][payload]
  }

  test("before it ran is run again, until it did", async () => {
    const name = await freshQueue({ backoff: { kind: "fixed", base: "1h", max: "1h" } })
    const queue = client.queue<number>(name)
    const ids = await queue.sendBatch(payloads.map((payload) => ({ payload })))
    let failures = 3
    broken = (what, go) => (what === "finish" && failures-- > 0 ? Promise.reject(lost()) : go())
    const told = await drain(queue.handler(run))
    expect(told.filter(({ event }) => event === "error")).toHaveLength(3)
    expect(told.map(({ event }) => event).filter((event) => event !== "error").toSorted()).toEqual(["dead", "done", "retry", "snooze"])
    expect((await admin.messages.get(ids[1]!))!.errors).toHaveLength(1)
  })

  test("after it ran, so that nobody knows, is tried again and refused: nothing is doubled", async () => {
    const name = await freshQueue({ done: "archive", backoff: { kind: "fixed", base: "1h", max: "1h" } })
    const queue = client.queue<number>(name)
    const ids = await queue.sendBatch(payloads.map((payload) => ({ payload })))
    let failures = 1
    broken = async (what, go) => {
      const rows = await go()
      if (what === "finish" && failures-- > 0) throw lost()
      return rows
    }
    const told = await drain(queue.handler(run))
    // It was settled, which this worker cannot know any more.
    expect(told.map(({ event }) => event)).toEqual(["error", "lost", "lost", "lost", "lost"])
    expect(await admin.archive.get(ids[0]!)).toMatchObject({ outcome: "done", attempt: 1 })
    expect(await admin.messages.get(ids[1]!)).toMatchObject({ attempt: 1, state: "delayed", errors: [{ message: "once" }] })
    expect(await admin.messages.get(ids[2]!)).toMatchObject({ attempt: 0, state: "delayed" })
    expect(await admin.archive.get(ids[3]!)).toMatchObject({ outcome: "dead", errors: [{ message: "gone" }] })
    expect(await admin.archive.count({ queue: name })).toBe(2)
    expect(await admin.messages.count({ queue: name })).toBe(2)
  })

  test("for longer than the lease is given up, and the message is delivered again", async () => {
    const name = await freshQueue({ lease: "300ms" })
    const queue = client.queue(name)
    await queue.send(1)
    let down = true
    broken = (what, go) => (down && what === "finish" ? Promise.reject(lost()) : go())
    const attempts: number[] = []
    const { worker, told } = make([queue.handler(({ attempt }) => void attempts.push(attempt))])
    await worker.start()
    await expect.poll(() => attempts.length, { timeout: 20_000 }).toBe(2)
    down = false
    await expect.poll(() => told.some(({ event }) => event === "done"), { timeout: 20_000 }).toBe(true)
    await worker.stop()
    expect(attempts[1]).toBe(2)
    expect(await admin.messages.count({ queue: name })).toBe(0)
  })
})

test("a queue that is dropped under a worker ends nothing but its messages", async () => {
  const [name, stays] = [await freshQueue(), await freshQueue()]
  await client.queue(name).send(1)
  const { worker, told } = make([
    client.queue(name).handler(() => admin.dropQueue(name, { force: true })),
    client.queue(stays).handler(() => {}),
  ])
  await worker.start()
  await expect.poll(() => told.some(({ event, ...rest }) => event === "error" && (rest as { error: unknown }).error instanceof QueueNotFoundError)).toBe(true)
  await client.queue(stays).send(1)
  await expect.poll(() => told.some(({ event }) => event === "done")).toBe(true)
  await worker.stop()
})
