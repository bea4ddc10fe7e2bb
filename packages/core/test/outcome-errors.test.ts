import { outcome, StaleLeaseError } from "@sluice/core"
import { runInNewContext } from "node:vm"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { runWorkers } from "./helpers/run-workers.ts"

const { client, pool, freshQueue } = await harness()
const { make, drain } = runWorkers(client)

const thrower = (thrown: unknown) => (): never => {
  throw thrown
}

describe("the error of each attempt is kept with the message", () => {
  const run = ({ attempt }: { attempt: number }): never => {
    throw new TypeError(`number ${attempt}`)
  }
  const kept = (attempt: number, worker: string): object => ({
    name: "TypeError",
    message: `number ${attempt}`,
    stack: expect.stringContaining("outcome-errors.test.ts"),
    at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    attempt,
    worker,
  })

  test("name, message, stack, when, of which attempt, and by which worker, all the way into the dead-letter queue and back", async () => {
    const dead = await freshQueue()
    const name = await freshQueue({ backoff: null, maxAttempts: 4, deadLetter: dead })
    const id = await client.queue(name).send(1)
    for (const [worker, clock] of [["one", "0"], ["two", "2 minutes"]] as const) {
      await moveClock(pool, clock)
      const { worker: running, told } = make([client.queue(name).handler(run, { backoff: (attempt) => (attempt === 2 ? "1m" : 0) })], { name: worker })
      await running.drain()
      expect(told).toHaveLength(2)
    }
    const errors = [kept(1, "one"), kept(2, "one"), kept(3, "two"), kept(4, "two")]
    const stored = (await client.admin.messages.get(id))!
    expect(stored).toMatchObject({ queue: dead, origin: name })
    expect(stored.errors).toEqual(errors)
    const times = stored.errors.map(({ at }) => Date.parse(at))
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    expect(Math.abs(times[0]! - Date.now())).toBeLessThan(3_600_000)
    expect((await client.admin.redrive(name)).map((message) => message.errors)).toEqual([errors])
    expect((await client.admin.messages.get(id))!.errors).toEqual(errors)
  })

  test("and into the archive, of what is dead, cancelled, or done at last", async () => {
    const name = await freshQueue({ backoff: null, maxAttempts: 2, done: "archive" })
    const queue = client.queue<string>(name)
    const ids = await queue.sendBatch(["dead", "cancel", "done"].map((payload) => ({ payload })))
    await drain(
      queue.handler(({ payload, attempt }) => {
        if (payload === "dead" || attempt === 1) return run({ attempt })
        return payload === "cancel" ? outcome.cancel("no longer wanted") : undefined
      }),
    )
    const archived = await Promise.all(ids.map((id) => client.admin.archive.get(id)))
    expect(archived.map((one) => [one!.outcome, one!.errors.map(({ message }) => message)])).toEqual([
      ["dead", ["number 1", "number 2"]],
      ["cancelled", ["number 1", "no longer wanted"]],
      ["done", ["number 1"]],
    ])
  })

  test("the last 50 of them, however many there were", async () => {
    const queue = client.queue(await freshQueue({ backoff: null, maxAttempts: 120 }))
    const id = await queue.send(1)
    await drain(queue.handler(run))
    const { errors } = (await client.admin.archive.get(id))!
    expect(errors.map(({ attempt }) => attempt)).toEqual(Array.from({ length: 50 }, (_, n) => 71 + n))
  })
})

const hostile = (): never => {
  throw new Error("hands off")
}
const circular: Record<string, unknown> = { code: "E1" }
circular["self"] = circular
const selfCaused = new Error("snake")
selfCaused.cause = selfCaused

describe("whatever is thrown is kept, and never breaks the settle:", () => {
  const things: [string, unknown, object][] = [
    ["a string", "plain", { name: "Error", message: "plain" }],
    ["a number", 42, { name: "Error", message: "42" }],
    ["a bigint", 42n, { name: "Error", message: "42n" }],
    ["a symbol", Symbol("s"), { name: "Error", message: "Symbol(s)" }],
    ["a function", () => {}, { name: "Error", message: "a function" }],
    ["null", null, { name: "Error", message: "null" }],
    ["undefined", undefined, { name: "Error", message: "undefined was thrown." }],
    ["an object", { code: "E1" }, { name: "Error", message: '{"code":"E1"}' }],
    ["an object like an error", { name: "Odd", message: "looks like one" }, { name: "Odd", message: "looks like one" }],
    ["a circular object", circular, { name: "Error", message: "an object (Object)" }],
    ["an object without a prototype", Object.create(null), { name: "Error", message: "{}" }],
    ["an empty error", new Error(""), { name: "Error", message: "" }],
    ["an error of another realm", runInNewContext("new RangeError('far away')"), { name: "RangeError", message: "far away", stack: expect.stringContaining("far away") }],
    ["NUL and lone surrogates", Object.assign(new Error("a\0b\ud800c"), { name: "N\0\udc00" }), { name: "N\ufffd", message: "ab\ufffdc" }],
    ["a cut in the middle of a character", new Error("x".repeat(9_999) + "😀"), { message: `${"x".repeat(9_999)}\ufffd` }],
    ["ten megabytes", new Error("y".repeat(10_000_000)), { message: "y".repeat(10_000) }],
    ["an object of ten megabytes", { data: "y".repeat(10_000_000) }, { message: `{"data":"${"y".repeat(9_991)}` }],
    ["a stack that is no text", Object.assign(new Error("m"), { stack: { toString: hostile } }), { message: "m", stack: "{}" }],
    ["a message that throws", Object.defineProperty(new Error(), "message", { get: hostile }), { name: "Error", message: "what was thrown could not be read" }],
    ["a name that throws", Object.defineProperty(new Error("m"), "name", { get: hostile }), { name: "Error", message: "m" }],
    ["a stack that throws", Object.defineProperty(new Error("m"), "stack", { get: hostile }), { name: "Error", message: "m" }],
    ["a cause that throws", Object.defineProperty(new Error("m"), "cause", { get: hostile }), { message: "m", stack: expect.stringContaining("Error: m") }],
    ["toJSON that throws", { toJSON: hostile }, { message: "an object (Object)" }],
    ["a proxy that throws", new Proxy(new Error("m"), { get: hostile, has: hostile, getPrototypeOf: hostile }), { name: "Error", message: "what was thrown could not be read" }],
    ["a revoked proxy", revoked(), { name: "Error", message: "what was thrown could not be read" }],
    ["a cause", new Error("outer", { cause: new TypeError("inner", { cause: "root" }) }), { message: "outer", stack: expect.stringMatching(/^Error: outer[\s\S]*\nCaused by: TypeError: inner[\s\S]*\nCaused by: root$/) }],
    ["a cause behind a long stack", Object.assign(new Error("m", { cause: new Error("the root") }), { stack: "z".repeat(100_000) }), { stack: expect.stringContaining("Caused by: Error: the root") }],
    ["an aggregate", new AggregateError([new Error("first"), new Error("second")], "all failed"), { message: "all failed", stack: expect.stringMatching(/Caused by: Error: first[\s\S]*Caused by: Error: second/) }],
    ["an error that is its own cause", selfCaused, { message: "snake", stack: expect.stringContaining("Caused by: Error: snake") }],
  ]

  test.each(things)("%s, thrown", async (_, thrown, expected) => {
    const queue = client.queue(await freshQueue({ backoff: null, maxAttempts: 1 }))
    const id = await queue.send(1)
    const told = await drain(queue.handler(thrower(thrown)))
    expect(told.map(({ event }) => event)).toEqual(["dead"])
    const { errors } = (await client.admin.archive.get(id))!
    expect(errors).toMatchObject([{ ...expected, attempt: 1 }])
    for (const { name, message, stack = "" } of errors) expect(Math.max(name.length, message.length, stack.length)).toBeLessThanOrEqual(10_000)
  })

  test("all of them at once, beside messages that are fine, in one settle", async () => {
    const queue = client.queue<number>(await freshQueue({ backoff: null, maxAttempts: 1 }))
    await queue.sendBatch(Array.from({ length: things.length + 3 }, (_, payload) => ({ payload })))
    const told = await drain(queue.handler(({ payload }) => (payload < things.length ? thrower(things[payload]![1])() : undefined), { concurrency: 10 }))
    const count = (name: string): number => told.filter(({ event }) => event === name).length
    expect([count("dead"), count("done"), told.length]).toEqual([things.length, 3, things.length + 3])
  })

  test.each(things)("%s, named by an outcome and by onError", async (_, thrown, expected) => {
    const queue = client.queue<number>(await freshQueue())
    const ids = await queue.sendBatch([{ payload: 0 }, { payload: 1 }, { payload: 2 }])
    const told = await drain(
      queue.handler(({ payload }) => (payload === 0 ? outcome.deadLetter(thrown) : payload === 1 ? thrower(outcome.deadLetter(thrown))() : thrower(thrown)()), {
        onError: () => outcome.deadLetter(),
      }),
    )
    expect(told.map(({ event }) => event)).toEqual(["dead", "dead", "dead"])
    const [returned, own, chosen] = await Promise.all(ids.map(async (id) => (await client.admin.archive.get(id))!.errors))
    expect(chosen).toMatchObject([expected])
    // Who names no error has none kept.
    expect([returned, own]).toMatchObject(thrown === undefined ? [[], []] : [[expected], [expected]])
  })

  test("an error that settles by hand is given, too", async () => {
    const queue = client.queue(await freshQueue())
    const id = await queue.send(1)
    const held = (await queue.read())!
    await queue.retry(held, { delay: 0, error: Object.defineProperty(new Error("m"), "stack", { get: hostile }) })
    expect((await client.admin.messages.get(id))!.errors).toMatchObject([{ message: "m" }])
    expect(await errorOf(queue.deadLetter(held, { error: new Error("late") }))).toBeInstanceOf(StaleLeaseError)
    expect((await client.admin.messages.get(id))!.errors).toHaveLength(1)
  })
})

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
