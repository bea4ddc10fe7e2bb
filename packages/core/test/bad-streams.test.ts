import { createClient, InvalidNameError, PayloadInvalidError, PayloadTooLargeError } from "@sluice/core"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { admin, calls, client, driver, expectOption } from "./helpers/refused.ts"

type Untyped = Record<string, (...args: unknown[]) => Promise<unknown>>
const untyped = client as unknown as Record<string, (...args: unknown[]) => Untyped>
const stream = untyped.stream!("s")
const subscription = client.stream("s").subscription("x") as unknown as Untyped
const subscriber = (options: unknown, handlers: unknown = () => {}): unknown => untyped.subscriber!("s", "x", handlers, options)

const texts: unknown[] = [null, 1, true, {}, [], "a\0b", "\ud800", "\udc00x"]
const counts: unknown[] = [null, 0, -1, 1.5, NaN, Infinity, "1", 1n, {}, 1e12]
const durations: unknown[] = [null, "1", "soon", "-1s", -1, 10.5, NaN, {}, [], "1s ", new Date()]
const flags: unknown[] = [null, 0, 1, "true", {}]
const lists: unknown[] = [null, 5, "id", {}, [1], [""], ["a\0"], [null], [["id"]]]
const expressions: unknown[] = [null, 5, "", " ", "a\0", {}, []]
const positions: unknown[] = [null, "now", 5, [], {}, { tick: "1", time: new Date() }]
const ticks: unknown[] = [null, undefined, 1, 1n, "0", "-1", "1.5", "x", "", "01", "1".repeat(19)]
const dates: unknown[] = [null, 5, "2030-01-01", new Date(NaN), new Date(8.64e15)]
const lagLimits: [string, unknown][] = [
  ...[5, "1d", [], () => {}].map((value): [string, unknown] => ["lagLimit", value]),
  ["lagLimit.days", { days: 1 }],
  ...["0s", ...durations].map((age): [string, unknown] => ["lagLimit.age", { age }]),
  ...counts.slice(0, -1).map((events): [string, unknown] => ["lagLimit.events", { events }]),
  ...counts.slice(0, -1).map((bytes): [string, unknown] => ["lagLimit.bytes", { bytes }]),
]

/** What is wrong at each option: the field, and the call with a value. */
const rows: [field: string, call: (value: unknown) => unknown, values: unknown[]][] = [
  ...["rotationPeriod", "tickerMaxLag", "tickerIdlePeriod"].map((field): typeof rows[0] => [field, (value) => admin.createStream!("s", { [field]: value }), ["0s", 0, ...durations]]),
  ["retention", (retention) => admin.updateStream!("s", { retention }), durations],
  ["tickerMaxCount", (tickerMaxCount) => admin.createStream!("s", { tickerMaxCount }), counts],
  ["maxEventsPerTransaction", (maxEventsPerTransaction) => admin.updateStream!("s", { maxEventsPerTransaction }), [-1, 1.5, NaN, "1", {}, 1e12]],
  ...["tickerPaused", "externalTicker", "closed"].map((field): typeof rows[0] => [field, (value) => admin.createStream!("s", { [field]: value }), flags]),
  ...["createStream", "updateStream"].map((name): typeof rows[0] => ["notify", (notify) => admin[name]!("s", { notify }), [null, true, "on", "statement"]]),
  ["whenStuck", (whenStuck) => admin.createStream!("s", { whenStuck }), [null, true, "no"]],
  ["whenStuck", (whenStuck) => admin.updateSubscription!("s", "x", { whenStuck }), [null, true, "no"]],
  ["ifExists", (ifExists) => admin.createStream!("s", { ifExists }), [null, "ignore", true]],
  ["ifExists", (ifExists) => admin.createSubscription!("s", "x", { ifExists }), [null, "ignore", true]],
  ["force", (force) => admin.dropStream!("s", { force }), flags],
  ["lease", (lease) => admin.createSubscription!("s", "x", { lease }), ["0s", ...durations]],
  ["maxAttempts", (maxAttempts) => admin.updateSubscription!("s", "x", { maxAttempts }), counts.slice(1)],
  ["from", (from) => admin.createSubscription!("s", "x", { from }), positions],
  ["to", (to) => admin.reposition!("s", "x", { to }), [undefined, ...positions]],
  ["from.tick", (tick) => admin.createSubscription!("s", "x", { from: { tick } }), ticks],
  ["to.time", (time) => admin.reposition!("s", "x", { to: { time } }), [undefined, ...dates]],
  ["tick.id", (id) => admin.externalTick!("s", { id }), ticks],
  ["tick.at", (at) => admin.externalTick!("s", { id: "1", at }), dates],
  ["limit", (limit) => admin.deadEvents!("s", "x", { limit }), counts],
  ["before", (before) => admin.deadEvents!("s", "x", { before }), [null, 1, "x", "-1"]],
  ["ids", (ids) => admin.redriveEvents!("s", "x", { ids }), [null, 5, "1", {}]],
  ["ids[1]", (id) => admin.redriveEvents!("s", "x", { ids: ["1", id] }), [null, undefined, 1, "x", "-1", "1.5"]],
  ["sameHistory", (sameHistory) => admin.afterRestore!({ sameHistory }), flags],
  ["table", (table) => admin.captureTable!(table, { stream: "s" }), [null, undefined, 5, "", "a\0", {}, []]],
  ["table", (table) => admin.releaseTable!(table, { stream: "s" }), [null, undefined, 5, "", "a\0", {}, []]],
  ...["key", "columns", "ignore"].map((field): typeof rows[0] => [field, (value) => admin.captureTable!("t", { stream: "s", [field]: value }), lists]),
  ...["old", "skip", "deny"].map((field): typeof rows[0] => [field, (value) => admin.captureTable!("t", { stream: "s", [field]: value }), flags]),
  ["when", (when) => admin.captureTable!("t", { stream: "s", when }), expressions],
  ["expressions", (value) => admin.captureTable!("t", { stream: "s", expressions: value }), [null, 5, "x", []]],
  ["expressions.extra5", (extra5) => admin.captureTable!("t", { stream: "s", expressions: { extra5 } }), ["1"]],
  ["expressions.data", (data) => admin.captureTable!("t", { stream: "s", expressions: { data } }), expressions],
  ["type", (type) => stream.publish!(type, 1), ["", "x".repeat(256), undefined, ...texts]],
  ["items[1].type", (type) => stream.publishBatch!([{ type: "a", data: 1 }, { type, data: 1 }]), ["", "x".repeat(256), undefined, ...texts]],
  ["key", (key) => stream.publish!("a", 1, { key }), ["x".repeat(501), ...texts]],
  ["items[0].key", (key) => stream.publishBatch!([{ type: "a", data: 1, key }]), ["x".repeat(501), ...texts]],
  ["headers", (headers) => stream.publish!("a", 1, { headers }), [null, 5, "x", [], new Date()]],
  ["items[0].headers", (headers) => stream.publishBatch!([{ type: "a", data: 1, headers }]), [null, 5, "x", []]],
  ["extra", (extra) => stream.publish!("a", 1, { extra }), [null, 5, "x", {}, [null, null, null, null, null]]],
  ["extra[1]", (value) => stream.publish!("a", 1, { extra: ["x", value] }), [undefined, ...texts.slice(1)]],
  ["extra[0]", (extra) => stream.publish!("a", 1, { extra }), [Object.assign([], { 1: "x" })]],
  ["items[0].extra[0]", (value) => stream.publishBatch!([{ type: "a", data: 1, extra: [value] }]), [undefined, ...texts.slice(1)]],
  ["items", (items) => stream.publishBatch!(items), [null, undefined, 5, "x", {}]],
  ["items[0]", (item) => stream.publishBatch!([item]), [null, undefined, 5, "x", []]],
  ["items[0].payload", (payload) => stream.publishBatch!([{ type: "a", data: 1, payload }]), [1]],
  ["items[0].tx", (tx) => stream.publishBatch!([{ type: "a", data: 1, tx }]), [{ tx: true }]],
  ...["maxEvents", "minEvents", "chunk"].map((field): typeof rows[0] => [field, (value) => subscription.nextBatch!({ [field]: value }), counts]),
  ...["maxWait", "minLag"].map((field): typeof rows[0] => [field, (value) => subscription.nextBatch!({ [field]: value }), durations]),
  ["lease", (lease) => subscription.nextBatch!({ lease }), ["0s", ...durations]],
  ["options.limit", (limit) => subscription.nextBatch!({ limit }), [1]],
  ["owner", (owner) => stream.subscription!("x", { owner }), ["", "x".repeat(501), ...texts]],
  ["member", (member) => stream.subscription!("x", { member }), flags],
  ["members", (members) => subscriber({ members }), counts],
  ["concurrency", (concurrency) => subscriber({ concurrency }), counts],
  ["transactional", (transactional) => subscriber({ transactional }), flags],
  ["concurrency", (concurrency) => subscriber({ transactional: true, concurrency }), [2]],
  ["timeout", (timeout) => subscriber({ timeout }), ["0s", ...durations]],
  ["pollInterval", (pollInterval) => subscriber({ pollInterval }), ["0s", "4ms", ...durations]],
  ["onInvalid", (onInvalid) => subscriber({ onInvalid }), [null, "skip", true]],
  ["maintenance", (maintenance) => subscriber({ maintenance }), flags],
  ...["backoff", "onError"].map((field): typeof rows[0] => [field, (value) => subscriber({ [field]: value }), [null, "1s", {}]]),
  ["options.workers", (workers) => subscriber({ workers }), [1]],
  ["options", (options) => subscriber(options), [null, 5, []]],
  ["handlers.a", (a) => subscriber({}, { a }), [null, 5, "x"]],
  ["events", (events) => untyped.stream!("s", { events }), [null, 5, "x", { "~standard": {} }]],
  ["events.a", (a) => untyped.stream!("s", { events: { a } }), [null, 5, {}, () => {}, { "~standard": {} }]],
  ["types.payload", (payload) => untyped.stream!("s", { payload }), [1]],
]

describe("no SQL runs for a wrong value of", () => {
  test.each(rows)("%s", async (field, call, values) => {
    for (const value of values) await expectOption(async () => call(value), field)
  })

  test.each(["createStream", "updateStream", "createSubscription"])("lagLimit of %s", async (name) => {
    for (const [field, lagLimit] of lagLimits) await expectOption(() => admin[name]!("s", ...(name === "createSubscription" ? ["x"] : []), { lagLimit }), field)
  })
})

/** Every function of the admin with the arguments before its options. */
const withOptions: [string, unknown[], where?: string][] = [
  ["createStream", ["s"]], ["updateStream", ["s", {}]], ["getStream", ["s"]], ["listStreams", []], ["dropStream", ["s"]], ["getStreamInfo", ["s"]], ["externalTick", ["s"], "tick"],
  ["createSubscription", ["s", "x"]], ["updateSubscription", ["s", "x", {}]], ["dropSubscription", ["s", "x"]], ["listSubscriptions", ["s"]], ["getSubscriptionInfo", ["s", "x"]],
  ["reposition", ["s", "x"]], ["deadEvents", ["s", "x"]], ["redriveEvents", ["s", "x"]], ["captureTable", ["t"]], ["releaseTable", ["t"]],
]

describe("no SQL runs for options that are none, misspelt, or have lost their transaction:", () => {
  test.each(withOptions)("admin.%s", async (name, args, where = "options") => {
    for (const options of [null, 5, "x", []]) await expectOption(() => admin[name]!(...args, options), where)
    await expectOption(() => admin[name]!(...args, { frm: 1 }), `${where}.frm`)
    for (const tx of [undefined, null]) await expectOption(() => admin[name]!(...args, { tx }), `${where}.tx`)
  })

  test("patches, publish and publishBatch", async () => {
    for (const patch of [undefined, null, 5, []]) {
      await expectOption(() => admin.updateStream!("s", patch), "patch")
      await expectOption(() => admin.updateSubscription!("s", "x", patch), "patch")
    }
    await expectOption(() => admin.updateStream!("s", { name: "t" }), "patch.name")
    await expectOption(() => admin.updateSubscription!("s", "x", { from: "latest" }), "patch.from")
    await expectOption(() => admin.afterRestore!(null), "options")
    for (const [call, args] of [["publish", ["a", 1]], ["publishBatch", [[]]]] as const) {
      await expectOption(() => stream[call]!(...args, null), "options")
      await expectOption(() => stream[call]!(...args, { delay: "1s" }), "options.delay")
      for (const tx of [undefined, null]) await expectOption(() => stream[call]!(...args, { tx }), "options.tx")
    }
  })
})

const names: unknown[] = [undefined, null, 5, "", "a b", "ä", "-a", "x".repeat(64), {}, []]

test("no SQL runs for a name that is none, of a stream or of a subscription", async () => {
  calls.splice(0)
  const streams = withOptions.filter(([, args]) => args[0] === "s").map(([name]) => (value: unknown) => admin[name]!(value, "x", {}, {}))
  const subscriptions = withOptions.filter(([, args]) => args[1] === "x").map(([name]) => (value: unknown) => admin[name]!("s", value, {}, {}))
  const more = [
    (value: unknown) => admin.forceTick!(value), (value: unknown) => admin.captureTable!("t", { stream: value }), (value: unknown) => admin.releaseTable!("t", { stream: value }),
    (value: unknown) => untyped.stream!(value), (value: unknown) => stream.subscription!(value), (value: unknown) => untyped.subscriber!(value, "x", () => {}), (value: unknown) => untyped.subscriber!("s", value, () => {}),
  ]
  for (const value of names) {
    for (const call of [...streams, ...subscriptions, ...more]) expect(await errorOf(async () => call(value)), `${String(call)} ${String(value)}`).toBeInstanceOf(InvalidNameError)
  }
  expect(calls).toEqual([])
})

test.each<[string, unknown, unknown]>([
  ["data", undefined, undefined], ["data.a", { a: 1n }, undefined], ["data[1]", [1, NaN], undefined], ["data", "\0", undefined], ["data.a", { a: "\ud800" }, undefined],
  ["data", JSON.parse('{"__proto__": 1}'), undefined], ["data", new Map(), undefined], ["headers.h", 1, { h: () => 1 }], ["headers.h[0]", 1, { h: ["\udc00"] }], ["headers", 1, new Map()],
])("no SQL runs for what is no JSON at %s: %o", async (path, data, headers) => {
  calls.splice(0)
  const options = headers === undefined ? {} : { headers }
  expect(await errorOf(() => stream.publish!("a", data, options))).toMatchObject({ name: "PayloadInvalidError", path, index: undefined })
  expect(await errorOf(() => stream.publishBatch!([{ type: "a", data: 1 }, { type: "a", data, ...options }]))).toMatchObject({ name: "PayloadInvalidError", path, index: 1 })
  expect(calls).toEqual([])
})

test("no SQL runs for what is too large or too deep", async () => {
  calls.splice(0)
  const small = createClient(driver, { payload: { maxBytes: 100, maxDepth: 2 } }).stream("s")
  const long = "x".repeat(99)
  for (const call of [() => small.publish("a", long), () => small.publish("a", 1, { headers: { long } })]) expect(await errorOf(call)).toBeInstanceOf(PayloadTooLargeError)
  expect(await errorOf(small.publishBatch([{ type: "a", data: 1 }, { type: "a", data: long }]))).toMatchObject({ name: "PayloadTooLargeError", index: 1 })
  expect(await errorOf(small.publish("a", [[[1]]]))).toBeInstanceOf(PayloadInvalidError)
  const item = { type: "a", data: "ä".repeat(500_000) }
  expect(await errorOf(client.stream("s").publishBatch(Array.from({ length: 68 }, () => item)))).toBeInstanceOf(PayloadTooLargeError)
  expect(calls).toEqual([])
})
