import { type BatchHandlerOptions, type Handler, type HandlerOptions, type HandlerOutcome, outcome, type Outcomes, type QueueOptions } from "@sluice/core"
import type { PoolClient } from "pg"
import { beforeEach, describe, expect, test } from "vitest"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { runWorkers, type Told } from "./helpers/run-workers.ts"

const { client, pool, freshQueue } = await harness()
const { make, drain } = runWorkers(client)
const { admin } = client
beforeEach(() => moveClock(pool, "0"))

/** The same module once more, as a second copy of the package has it. */
const copy = "../src/worker/outcome.ts?copy"
const { outcome: otherOutcome } = (await import(copy)) as { outcome: Outcomes }

const eventOf = ([told, ...more]: Told[]): string => {
  expect(more).toEqual([])
  return told!.event
}

interface Place {
  readonly event: string
  /** Where it is then. */
  readonly state?: string
  readonly archived?: string
}

const choices: [string, (of: Outcomes) => HandlerOutcome, QueueOptions, Place][] = [
  ["done", (of) => of.done(), {}, { event: "done" }],
  ["done, kept", (of) => of.done(), { done: "archive" }, { event: "done", archived: "done" }],
  ["retry", (of) => of.retry(), {}, { event: "retry", state: "delayed" }],
  ["retry by a delay", (of) => of.retry({ delay: "1h", error: "soon" }), { backoff: null }, { event: "retry", state: "delayed" }],
  ["retry at the limit", (of) => of.retry({ error: "spent" }), { maxAttempts: 1 }, { event: "dead", archived: "dead" }],
  ["snooze", (of) => of.snooze("1h"), { maxAttempts: 1 }, { event: "snooze", state: "delayed" }],
  ["deadLetter", (of) => of.deadLetter(new Error("hopeless")), {}, { event: "dead", archived: "dead" }],
  ["cancel", (of) => of.cancel(), {}, { event: "cancelled" }],
  ["cancel, kept", (of) => of.cancel(), { done: "archive" }, { event: "cancelled", archived: "cancelled" }],
]

describe.each([["of this package", outcome], ["of another copy of it", otherOutcome]])("an outcome %s", (_, of) => {
  test.each(choices)("%s is heeded, returned, thrown, answered by onError, and in a batch", async (_name, choose, options, { event, state, archived }) => {
    const ways: [string, (name: string) => Handler<PoolClient>][] = [
      ["returned", (name) => client.queue(name).handler(() => choose(of))],
      ["resolved", (name) => client.queue(name).handler(async () => choose(of))],
      ["thrown", (name) => client.queue(name).handler(() => { throw choose(of) })],
      ["by onError", (name) => client.queue(name).handler(() => Promise.reject(new Error("x")), { onError: () => choose(of) })],
      ["for a batch", (name) => client.queue(name).batchHandler(() => choose(of), { size: 5 })],
      ["thrown for a batch", (name) => client.queue(name).batchHandler(() => { throw choose(of) }, { size: 5 })],
      ["in a batch", (name) => client.queue(name).batchHandler(() => [choose(of)], { size: 5 })],
    ]
    for (const [way, handler] of ways) {
      const name = await freshQueue(options)
      const id = await client.queue(name).send(way)
      expect(eventOf(await drain(handler(name))), way).toBe(event)
      expect((await admin.messages.get(id))?.state, way).toBe(state)
      expect((await admin.archive.get(id))?.outcome, way).toBe(archived)
    }
  })
})

test("another copy of the package is one", () => {
  expect(otherOutcome).not.toBe(outcome)
  expect(otherOutcome.done().constructor).not.toBe(outcome.done().constructor)
})

describe("done", () => {
  test.each([["nothing", undefined], ["null", null], ["an object", { to: "retry" }], ["false", false], ["a string", "dead"], ["an empty array", []]])("is what a handler means that returns %s", async (_, value) => {
    const queue = client.queue(await freshQueue())
    await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
    expect((await drain(queue.handler(() => value))).map(({ event }) => event)).toEqual(["done", "done"])
    await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
    expect((await drain(queue.batchHandler(() => value, { size: 2 }))).map(({ event }) => event)).toEqual(["done", "done"])
  })

  test("deletes or archives as the queue says, and what updateQueue changes counts from the next settle on", async () => {
    const name = await freshQueue()
    const queue = client.queue(name)
    const ids: string[] = []
    const { worker, told } = make([queue.handler(() => {})])
    await worker.start()
    for (const done of ["delete", "archive", "delete", "archive"] as const) {
      await admin.updateQueue(name, { done })
      ids.push(await queue.send(done))
      await expect.poll(() => told.length).toBe(ids.length)
    }
    expect(told.map(({ event }) => event)).toEqual(["done", "done", "done", "done"])
    expect((await admin.archive.list({ queue: name })).items.map(({ id, outcome: kept }) => [id, kept])).toEqual([[ids[1], "done"], [ids[3], "done"]])
    expect(await admin.messages.count({ queue: name })).toBe(0)
  })
})

describe("snooze", () => {
  test("charges no attempt, however often, also where the limit is 1", async () => {
    const name = await freshQueue({ maxAttempts: 1 })
    const queue = client.queue(name)
    const id = await queue.send(1)
    let calls = 0
    const told = await drain(
      queue.handler(({ attempt }) => {
        expect(attempt).toBe(1)
        return ++calls <= 30 ? outcome.snooze(0) : Promise.reject(new Error("now it counts"))
      }),
    )
    expect(told.map(({ event }) => event)).toEqual([...Array.from({ length: 30 }, () => "snooze"), "dead"])
    expect((await admin.archive.get(id))!).toMatchObject({ attempt: 1, errors: [{ message: "now it counts", attempt: 1 }] })
  })

  test("after failures keeps their count", async () => {
    const queue = client.queue(await freshQueue({ maxAttempts: 3, backoff: null }))
    await queue.send(1)
    const attempts: number[] = []
    let snoozes = 0
    const told = await drain(
      queue.handler(({ attempt }) => {
        attempts.push(attempt)
        if (attempt === 2 && ++snoozes <= 5) return outcome.snooze(0)
        throw new Error("no")
      }),
    )
    expect(attempts).toEqual([1, 2, 2, 2, 2, 2, 2, 3])
    expect(told.at(-1)!.event).toBe("dead")
  })

  test("puts off as long as it says", async () => {
    const queue = client.queue(await freshQueue())
    const id = await queue.send(1)
    const [told] = await drain(queue.handler(() => outcome.snooze("30m")))
    expect((await admin.messages.get(id))!).toMatchObject({ attempt: 0, state: "delayed", visibleAt: (told as { visibleAt: Date }).visibleAt })
    await moveClock(pool, "29 minutes")
    expect(await queue.read()).toBeNull()
    await moveClock(pool, "31 minutes")
    expect(await queue.read()).toMatchObject({ id, attempt: 1 })
  })
})

describe("dead-lettering now", () => {
  test("leaves attempts unused, for the dead-letter queue", async () => {
    const dead = await freshQueue()
    const name = await freshQueue({ deadLetter: dead })
    const id = await client.queue(name).send({ a: 1 }, { headers: { h: 1 }, priority: 3 })
    await drain(client.queue(name).handler(() => outcome.deadLetter(new Error("hopeless"))))
    expect(await admin.messages.get(id)).toMatchObject({ queue: dead, origin: name, payload: { a: 1 }, headers: { h: 1 }, priority: 3, state: "visible", errors: [{ message: "hopeless", attempt: 1 }] })
  })

  test("of a queue whose attempts have no limit", async () => {
    const name = await freshQueue({ maxAttempts: null })
    const id = await client.queue(name).send(1)
    expect(eventOf(await drain(client.queue(name).handler(() => outcome.deadLetter())))).toBe("dead")
    expect(await admin.archive.get(id)).toMatchObject({ outcome: "dead", errors: [] })
  })
})

describe("onError", () => {
  class Busy extends Error {}

  test("chooses by the error, and where it says nothing the attempt failed", async () => {
    const name = await freshQueue({ backoff: null, maxAttempts: 2 })
    const queue = client.queue<string>(name)
    await queue.sendBatch(["busy", "bad", "gone", "fine after all", "other"].map((payload) => ({ payload })))
    const told = await drain(
      queue.handler(({ payload }) => { throw payload === "busy" ? new Busy("later") : new Error(payload) }, {
        onError: (error, { payload }) => {
          if (error instanceof Busy) return outcome.snooze("1h")
          if (payload === "bad") return outcome.deadLetter()
          if (payload === "gone") return outcome.cancel()
          if (payload === "fine after all") return outcome.done()
          return undefined
        },
      }),
    )
    const all = told.map((one) => `${(one as { message: { payload: string } }).message.payload}: ${one.event}`)
    expect(all.toSorted()).toEqual(["bad: dead", "busy: snooze", "fine after all: done", "gone: cancelled", "other: dead", "other: retry"])
    // The error that led there is kept, though the outcome named none.
    expect((await admin.archive.list({ queue: name })).items.map(({ payload, errors }) => [payload, errors.map(({ message }) => message)])).toEqual([["bad", ["bad"]], ["other", ["other", "other"]]])
    expect((await admin.messages.list({ queue: name })).items.map(({ errors, attempt }) => [errors.map(({ message }) => message), attempt])).toEqual([[["later"], 0]])
  })

  test("is not asked about an outcome that was thrown", async () => {
    const queue = client.queue(await freshQueue())
    await queue.send(1)
    const asked: unknown[] = []
    await drain(queue.handler(() => { throw outcome.snooze("1h") }, { onError: (error) => void asked.push(error) }))
    expect(asked).toEqual([])
  })

  test.each<[string, () => unknown, string]>([
    ["throws", () => { throw new RangeError("bug") }, "onError failed: bug, asked about: boom"],
    ["returns a word", () => "dead", 'onError failed: onError: must return an outcome, or nothing, at once, got "dead", asked about: boom'],
    ["returns null", () => null, "onError failed: onError: must return an outcome, or nothing, at once, got null"],
    ["returns a promise", async () => outcome.done(), "onError failed: onError: must return an outcome, or nothing, at once, got an object (Promise)"],
    ["returns a promise that rejects", () => Promise.reject(new Error("too late")), "onError failed: onError: must return an outcome, or nothing, at once, got an object (Promise)"],
  ])("that %s is kept with the error, the attempt failed, and the loop goes on", async (_, onError, message) => {
    const name = await freshQueue()
    const queue = client.queue(name)
    const [first] = await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
    const told = await drain(queue.handler(({ payload }) => (payload === 1 ? Promise.reject(new Error("boom")) : undefined), { concurrency: 1, onError: onError as HandlerOptions["onError"] & {} }))
    expect(told.map(({ event }) => event)).toEqual(["retry", "done"])
    expect((await admin.messages.get(first!))!.errors).toMatchObject([{ message: expect.stringContaining(message), stack: expect.stringContaining("Caused by: Error: boom") }])
  })
})

describe("a batch handler", () => {
  const run = async (answer: (payloads: readonly unknown[]) => unknown, options: Partial<BatchHandlerOptions> = {}): Promise<string[]> => {
    const queue = client.queue<number>(await freshQueue({ maxAttempts: 5 }))
    await queue.sendBatch([1, 2, 3, 4, 5].map((payload) => ({ payload })))
    const told = await drain(queue.batchHandler((messages) => answer(messages.map(({ payload }) => payload)), { size: 5, ...options, transactional: false }))
    return told.map((one) => `${(one as { message: { payload: number } }).message.payload} ${one.event}`).toSorted()
  }

  test("answers for each message: an outcome, an error, or anything else, which is done", async () => {
    expect(await run(() => [outcome.done(), outcome.snooze("1h"), new Error("no"), undefined, outcome.deadLetter()])).toEqual(["1 done", "2 snooze", "3 retry", "4 done", "5 dead"])
  })

  test("asks onError and backoff for each error of them", async () => {
    const answers = [new Error("a"), null, new TypeError("b"), outcome.retry({ delay: "1h" }), 7]
    expect(await run(() => answers, { onError: (error) => (error instanceof TypeError ? outcome.cancel() : undefined), backoff: () => "1h" })).toEqual(["1 retry", "2 done", "3 cancelled", "4 retry", "5 done"])
  })

  test("that throws has all its messages fail", async () => {
    expect(await run(() => { throw new Error("all") })).toEqual(["1 retry", "2 retry", "3 retry", "4 retry", "5 retry"])
  })

  test.each([[0, []], [4, [new Error("x"), 1, 2, 3]], [6, [new Error("x"), 1, 2, 3, 4, 5]]] as const)("that answers %d times has them fail, unless it names no outcome", async (count, answers) => {
    expect(await run(() => answers)).toEqual([1, 2, 3, 4, 5].map((n) => `${n} ${count === 0 ? "done" : "retry"}`))
  })
})
