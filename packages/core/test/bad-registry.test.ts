import { InvalidNameError, InvalidOptionError } from "@sluice/core"
import { expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { calls, client, expectOption } from "./helpers/refused.ts"

type Untyped = Record<string, (...args: unknown[]) => Promise<unknown>>
const untyped = client as unknown as Untyped
const workers = client.admin.workers as unknown as Untyped
const tx = { tx: true }

const registered = (patch: object) => () => untyped.register!({ name: "w", ...patch })
const done = (patch: { tx?: unknown; key?: unknown; work?: unknown; options?: unknown }) => () => {
  const all = { tx, key: "k", work: () => 1, options: {}, ...patch }
  return untyped.once!(all.tx, all.key, all.work, all.options)
}
const names: unknown[] = ["", " ", "-w", "a b", "ä", "w\0", "w\n", "w".repeat(101), 1, null, undefined, {}, ["w"]]

const refused: [string, string, (value: unknown) => () => unknown, unknown[]][] = [
  ["register, name", "name", (name) => registered({ name }), names],
  ["register, hostname", "hostname", (hostname) => registered({ hostname }), ["", "a\0b", "a\nb", "\ud800", "h".repeat(256), 1, null, {}]],
  ["register, port", "port", (port) => registered({ port }), [-1, 65_536, 1.5, NaN, "80", null]],
  ["register, queues", "queues", (queues) => registered({ queues }), ["q", {}, null, 1]],
  ["register, every", "every", (every) => registered({ every }), [0, "19ms", "25h", 30, "30", null, -1]],
  ["register, onError", "onError", (onError) => registered({ onError }), ["x", 1, null, {}]],
  ["register, misspelt", "options.hostName", (hostName) => registered({ hostName }), ["h"]],
  ["register, no options", "options", (options) => () => untyped.register!(options), [undefined, null, "w", []]],
  ["worker, hostname", "hostname", (hostname) => async () => untyped.worker!([client.queue("q").handler(() => {})], { hostname }), ["", "a\0b", "\ud800", 1]],
  ...["get", "suspend", "resume", "shutdown"].flatMap((call): typeof refused => [
    [`workers.${call}`, "name", (name) => () => workers[call]!(name), names],
    [`workers.${call}, options`, "options", (options) => () => workers[call]!("w", options), ["x", null, []]],
    [`workers.${call}, misspelt`, "options.txn", (txn) => () => workers[call]!("w", { txn }), [tx]],
    [`workers.${call}, lost transaction`, "options.tx", (lost) => () => workers[call]!("w", { tx: lost }), [undefined, null]],
  ]),
  ...["count", "list"].map((call): (typeof refused)[number] => [`workers.${call}, state`, "state", (state) => () => workers[call]!({ state }), ["stale", "", 1, null]]),
  ...["count", "health"].map((call): (typeof refused)[number] => [`workers.${call}, misspelt`, "filter.queues", (queues) => () => workers[call]!({ queues }), ["q"]]),
  ["workers.health, no state", "filter.state", (state) => () => workers.health!({ state }), ["running"]],
  ["workers.list, after", "after", (after) => () => workers.list!({ after }), ["", "a b", 1]],
  ["workers.list, limit", "limit", (limit) => () => workers.list!({ limit }), [0, 1001, 1.5, "1"]],
  ["workers.purge, olderThan", "olderThan", (olderThan) => () => workers.purge!({ olderThan }), [1, "1 hour", -1, null, "-1h"]],
  ["workers.purge, misspelt", "options.older", (older) => () => workers.purge!({ older }), ["1h"]],
  ["once, tx", "tx", (lost) => done({ tx: lost }), [undefined, null]],
  ["once, key", "key", (key) => done({ key }), ["", "k\0", "\ud800", "k".repeat(501), 1, null, undefined, {}]],
  ["once, work", "work", (work) => done({ work }), [undefined, null, {}, "x", Promise.resolve()]],
  ["once, keep", "keep", (keep) => done({ options: { keep } }), [0, "999ms", 30, "30", null, "36501d"]],
  ["once, misspelt", "options.ttl", (ttl) => done({ options: { ttl } }), ["1d"]],
  ["once, no options", "options", (options) => done({ options }), [null, "1d", []]],
]

test.each(refused)("no SQL runs for %s: the error names %s", async (_what, field, call, values) => {
  for (const value of values) await expectOption(call(value), field)
})

test("names of queues are checked as everywhere", async () => {
  for (const call of [registered({ queues: ["q", "no queue"] }), () => workers.count!({ queue: "no queue" }), () => workers.list!({ queue: "" }), () => workers.health!({ queue: 1 })]) {
    expect(await errorOf(call)).toBeInstanceOf(InvalidNameError)
  }
  expect(calls).toEqual([])
})

test("what is fine gets to the database", async () => {
  for (const call of [registered({ hostname: "h", port: 0, queues: [], every: "20ms" }), done({ key: "k".repeat(500) }), () => workers.purge!({ olderThan: 0 })]) {
    expect(await errorOf(call)).not.toBeInstanceOf(InvalidOptionError)
    expect(calls.splice(0)).toHaveLength(1)
  }
})
