import { createClient, outcome } from "@sluice/core"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { admin, calls, client, driver, expectOption, message, queue } from "./helpers/refused.ts"

// As JavaScript sees them.
const typed = client.queue("q")
const make = (options: unknown, run: unknown = () => {}): unknown => typed.handler(run as never, options as never)
const makeBatch = (options: unknown, run: unknown = () => {}): unknown => typed.batchHandler(run as never, options as never)
const work = (options: unknown, run: unknown = () => {}): unknown => typed.work(run as never, options as never)
const worker = (options: unknown, handlers: unknown = [make({})]): unknown => client.worker(handlers as never, options as never)

const notObjects = ["x", 5, true, [], () => {}, null]
const numbers = [-1, 1.5, NaN, Infinity, "1", null, true, {}, [], 1n]
const counts = [...numbers, 0, 10_001]
const functions = ["x", 5, null, {}, []]
const flags = [1, "true", null, {}]

const rows: [string, string, (value: unknown) => unknown, unknown[]][] = [
  // Queue options.
  ...(["createQueue", "updateQueue"] as const).flatMap((method): typeof rows => {
    const set = (field: string, call: (value: unknown) => object, values: unknown[]): (typeof rows)[number] => [method, field, (value) => admin[method]!("q", call(value)), values]
    const backoff = (part: string, values: unknown[]): (typeof rows)[number] => set(`backoff.${part}`, (value) => ({ backoff: { kind: "fixed", base: "1s", [part]: value } }), values)
    return [
      set("backoff", (value) => ({ backoff: value }), notObjects.filter((value) => value !== null)),
      backoff("kind", ["cubic", "Fixed", "", 5, null, undefined]),
      backoff("jitter", [-0.1, 1.1, NaN, Infinity, "0", null, true, {}]),
      backoff("max", ["999ms", 0]),
      backoff("factor", [2]),
      set("backoff.base", () => ({ backoff: { kind: "fixed" } }), [0]),
      set("done", (value) => ({ done: value }), ["keep", "Archive", true, null, 5]),
      set("onInvalid", (value) => ({ onInvalid: value }), ["drop", "deadletter", true, null, 5]),
    ]
  }),

  // Handlers.
  ...([["handler", make], ["batchHandler", (options: object) => makeBatch({ size: 2, ...options })], ["work", work]] as [string, (options: object) => unknown][]).flatMap(([who, call]): typeof rows => [
    [who, "concurrency", (concurrency) => call({ concurrency }), counts],
    [who, "lease", (lease) => call({ lease }), [0, "0s", "0.1ms"]],
    [who, "timeout", (timeout) => call({ timeout }), [0, "0s"]],
    [who, "backoff", (backoff) => call({ backoff }), [...functions, "1s"]],
    [who, "onError", (onError) => call({ onError }), functions],
    [who, "transactional", (transactional) => call({ transactional }), flags],
    [who, "options.retries", (retries) => call({ retries }), [3]],
  ]),
  ["handler", "handler", (run) => make({}, run), functions],
  ["batchHandler", "handler", (run) => makeBatch({ size: 1 }, run), functions],
  ["work", "handler", (run) => work({}, run), functions],
  ["handler", "options", make, notObjects],
  ["batchHandler", "options", makeBatch, [...notObjects, undefined]],
  ["work", "options", work, notObjects],
  ["handler's batch", "batch", (batch) => make({ transactional: true, batch }), counts],
  ["handler's batch without a transaction", "batch", (batch) => make({ batch }), [2]],
  ["handler's size", "options.size", (size) => make({ size }), [2]],
  ["batchHandler's size", "size", (size) => makeBatch({ size }), [...counts, undefined]],
  ["batchHandler's batch", "options.batch", (batch) => makeBatch({ size: 1, batch }), [2]],

  // Workers.
  ["worker", "options", (options) => worker(options), notObjects],
  ["worker", "options.conc", (conc) => worker({ conc }), [1]],
  ["worker", "options.tx", (tx) => worker({ tx }), [{}]],
  ["worker", "concurrency", (concurrency) => worker({ concurrency }), counts],
  ["worker", "prefetch", (prefetch) => worker({ prefetch }), [...numbers, 10_001]],
  ["worker", "pollInterval", (pollInterval) => worker({ pollInterval }), [0, "1ms"]],
  ["worker", "name", (name) => worker({ name }), ["", " a", "-a", "a b", "a".repeat(101), "é", 5, null, {}]],
  ["worker", "hostname", (hostname) => worker({ hostname }), [5, null, {}]],
  ["worker", "port", (port) => worker({ port }), [...numbers, 65_536]],
  ["worker", "maintenance", (maintenance) => worker({ maintenance }), flags],
  ["worker", "signal", (signal) => worker({ signal }), [null, {}, "x", { aborted: false }]],
  ["worker", "handlers", (handlers) => worker({}, handlers), [null, {}, "x", [], () => {}]],
  ["worker", "handlers[0]", (handler) => worker({}, [handler]), [null, undefined, {}, "q", () => {}, typed]],
  ["worker of two clients", "handlers[0]", () => worker({}, [createClient(driver).queue("q").handler(() => {})]), [0]],
  ["worker with a queue twice", "handlers[1]", () => worker({}, [make({}), make({})]), [0]],
  ["worker.stop", "options", (options) => client.worker([make({}) as never]).stop(options as never), notObjects],
  ["worker.stop", "options.force", (force) => client.worker([make({}) as never]).stop({ force } as never), [true]],

  // Outcomes.
  ["outcome.retry", "options", (options) => outcome.retry(options as never), notObjects],
  ["outcome.retry", "options.dealy", (dealy) => outcome.retry({ dealy } as never), ["1s"]],
  ["outcome.snooze", "delay", (delay) => outcome.snooze(delay as never), [undefined]],

  // Messages and their queues.
  ...["snooze", "deadLetter"].flatMap((method): typeof rows => {
    const call = (value: unknown): unknown => queue[method]!(value, ...(method === "snooze" ? ["1s"] : []))
    return [
      [method, "message", call, [undefined, null, "1", 1, true, Promise.resolve(message)]],
      [method, "message.id", (id) => call({ id, lease: "1" }), [null, "", "-1", "01", 1, 1n, {}]],
      [method, "message.lease", (lease) => call({ id: "1", lease }), [undefined, null, "", "x", 1]],
    ]
  }),
  ["snooze", "delay", (delay) => queue.snooze!(message, delay), [undefined]],
  ["deadLetter", "error", (error) => queue.deadLetter!(message, { error }), [5, {}, [], true, Symbol("x")]],
  ["deadLetter", "options.delay", (delay) => queue.deadLetter!(message, { delay }), ["1s"]],
  ["cancel", "id", (id) => queue.cancel!(id), [undefined, null, "", "-1", "01", "1.5", 1, 1n, {}, ["1"], message]],
  ["redrive", "ids", (ids) => admin.redrive!("q", { ids }), [null, "1", 1, {}, new Set(["1"])]],
  ["redrive", "ids[1]", (id) => admin.redrive!("q", { ids: ["1", id] }), [undefined, null, 1, "x", "-1", "01", "9223372036854775808"]],
  ["redrive", "limit", (limit) => admin.redrive!("q", { limit }), counts],
  ["redrive", "preview", (preview) => admin.redrive!("q", { preview }), flags],
  ["redrive", "filter", (filter) => admin.redrive!("q", { filter }), [null, "x", 5, [], {}]],
  ["redrive", "filter.headers", (headers) => admin.redrive!("q", { filter: { headers } }), [null, "x", 5, []]],
  ["redrive", "filter.ids", (ids) => admin.redrive!("q", { filter: { ids } }), [["1"]]],
  ["redrive", "options.from", (from) => admin.redrive!("q", { from }), ["archive"]],
]

describe("no SQL runs for a wrong", () => {
  test.each(rows)("%s: %s", async (_, field, call, values) => {
    for (const value of values) await expectOption(() => call(value), field)
  })

  test("filter of a redrive whose values no message can have", async () => {
    calls.splice(0)
    for (const payload of [NaN, "a\0b", 5n, { a: { b: Symbol("x") } }]) {
      expect(await errorOf(() => admin.redrive!("q", { filter: { payload } }))).toMatchObject({ code: "payload_invalid", path: expect.stringMatching(/^filter\.payload/) })
    }
    expect(calls).toEqual([])
  })
})

test("an outcome is made of anything as its error", () => {
  for (const error of [5, null, {}, [], Symbol("x"), undefined]) {
    for (const one of [outcome.deadLetter(error), outcome.cancel(error), outcome.retry({ error })]) expect(one).toBeInstanceOf(Error)
  }
})
