import { createClient, InvalidNameError, InvalidOptionError, SluiceError } from "@sluice/core"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { noSqlDriver } from "./helpers/no-sql-driver.ts"

const { driver, calls } = noSqlDriver()
beforeEach(() => void calls.splice(0))
const client = createClient(driver)
const { admin } = client
// As JavaScript sees them: without the types that refuse most of this already.
const queue = client.queue("q") as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
const untyped = admin as unknown as Record<string, (...args: unknown[]) => Promise<unknown>> &
  Record<"queues" | "messages" | "archive", Record<string, (...args: unknown[]) => Promise<unknown>>>
const message = { id: "1", lease: "1" }

const shown = (value: unknown): string =>
  typeof value === "bigint" || typeof value === "symbol" || value instanceof Date ? `${typeof value} ${String(value)}`
  : Number.isNaN(value) || value === Infinity || value === undefined ? String(value)
  : typeof value === "function" ? "a function" : JSON.stringify(value)

async function expectOption(call: () => unknown, field: string): Promise<void> {
  const error = await errorOf<InvalidOptionError>(call)
  expect(error, error.stack).toBeInstanceOf(InvalidOptionError)
  expect(error).toBeInstanceOf(SluiceError)
  expect(error).toMatchObject({ name: "InvalidOptionError", code: "invalid_option", field })
  expect(error.message).toContain(field)
  expect(calls).toEqual([])
}

describe("no SQL runs for options that", () => {
  /** Every public method that takes options, with its other arguments good. */
  const takers: Record<string, (options: unknown) => unknown> = {
    send: (o) => queue.send!(1, o), sendBatch: (o) => queue.sendBatch!([{ payload: 1 }], o), read: (o) => queue.read!(o),
    readBatch: (o) => queue.readBatch!(o), readWithPoll: (o) => queue.readWithPoll!(o), pop: (o) => queue.pop!(o), popBatch: (o) => queue.popBatch!(o),
    setVt: (o) => queue.setVt!(message, "1s", o), extend: (o) => queue.extend!(message, "1s", o), release: (o) => queue.release!(message, o),
    retry: (o) => queue.retry!(message, o), delete: (o) => queue.delete!(message, o), archive: (o) => queue.archive!(message, o),
    deleteBatch: (o) => queue.deleteBatch!([message], o), archiveBatch: (o) => queue.archiveBatch!([message], o),
    purge: (o) => queue.purge!(o), metrics: (o) => queue.metrics!(o),
    "admin.install": (o) => untyped.install!(o), "admin.verify": (o) => untyped.verify!(o), "admin.uninstall": (o) => untyped.uninstall!(typeof o === "object" && o && !Array.isArray(o) ? { confirm: "sluice", ...o } : o),
    "admin.createQueue": (o) => untyped.createQueue!("q", o), "admin.updateQueue": (o) => untyped.updateQueue!("q", {}, o),
    "admin.getQueue": (o) => untyped.getQueue!("q", o), "admin.listQueues": (o) => untyped.listQueues!(o), "admin.dropQueue": (o) => untyped.dropQueue!("q", o),
    "admin.purge": (o) => untyped.purge!("q", o), "admin.metrics": (o) => untyped.metrics!("q", o), "admin.metricsAll": (o) => untyped.metricsAll!(o),
    ...Object.fromEntries((["queues", "messages", "archive"] as const).flatMap((accessor) => [
      [`admin.${accessor}.count`, (o: unknown) => untyped[accessor].count!(o)], [`admin.${accessor}.list`, (o: unknown) => untyped[accessor].list!(o)],
      [`admin.${accessor}.get`, (o: unknown) => untyped[accessor].get!("1", o)],
    ])),
  }
  test.each(Object.entries(takers))("are no options: %s", async (_name, call) => {
    for (const options of ["x", 5, true, [], () => {}]) {
      const error = await errorOf<SluiceError>(() => call(options))
      expect(error, shown(options)).toBeInstanceOf(InvalidOptionError)
    }
    expect(calls).toEqual([])
  })
  test.each(Object.entries(takers))("are misspelt: %s", async (name, call) => {
    const error = await errorOf<InvalidOptionError>(() => call({ dealy: "1s" }))
    expect(error).toMatchObject({ code: "invalid_option", field: expect.stringMatching(/\.dealy$/) })
    if (name !== "admin.verify") expect(error.message).toMatch(/is no option here; there are /)
    expect(calls).toEqual([])
  })
  test.each(Object.entries(takers).filter(([name]) => name !== "readWithPoll"))("lost their transaction: %s", async (_name, call) => {
    for (const tx of [undefined, null]) {
      const error = await errorOf<InvalidOptionError>(() => call({ tx }))
      expect(error).toMatchObject({ code: "invalid_option", field: expect.stringMatching(/\.tx$/) })
      expect(error.message).toContain("the transaction got lost")
    }
    expect(calls).toEqual([])
  })
  test("join a transaction where none can be joined: readWithPoll", () => expectOption(() => queue.readWithPoll!({ tx: {} }), "options.tx"))
})

describe("no SQL runs for a duration", () => {
  const takers: [string, string, (duration: unknown) => unknown][] = [
    ["send", "options.delay", (delay) => queue.send!(1, { delay })],
    ["sendBatch", "options.delay", (delay) => queue.sendBatch!([{ payload: 1 }], { delay })],
    ["an item", "items[1].delay", (delay) => queue.sendBatch!([{ payload: 1 }, { payload: 2, delay }])],
    ["read", "lease", (lease) => queue.read!({ lease })], ["readBatch", "lease", (lease) => queue.readBatch!({ lease })],
    ["readWithPoll", "wait", (wait) => queue.readWithPoll!({ wait })], ["readWithPoll", "interval", (interval) => queue.readWithPoll!({ interval, wait: "1s" })],
    ["setVt", "vt", (vt) => queue.setVt!(message, vt)], ["extend", "by", (by) => queue.extend!(message, by)],
    ["retry", "delay", (delay) => queue.retry!(message, { delay })],
    ["createQueue", "lease", (lease) => untyped.createQueue!("q", { lease })], ["updateQueue", "lease", (lease) => untyped.updateQueue!("q", { lease })],
  ]
  const durations = [10, -1, 0.5, NaN, Infinity, "10", "-1s", "1 s", "1S", "s", "", "1h30m", "1e3s", "36501d", "Infinitys", ".5s", "1w", "１s", "1s\n", null, true, {}, [], 5n, () => 1]
  test.each(takers)("of %s: %s", async (_name, field, call) => {
    for (const duration of durations) await expectOption(() => call(duration), field)
  })
  test("that is a bare number: the error shows what to write", async () => {
    expect((await errorOf(() => queue.send!(1, { delay: 10 }))).message).toContain('write "10s" for seconds or "10ms" for milliseconds')
  })
  test.each([["createQueue", 0], ["createQueue", "0s"], ["updateQueue", "0ms"], ["createQueue", "0.0001ms"]])("that makes a queue's lease 0: %s %s", (method, lease) =>
    expectOption(() => untyped[method as "createQueue"]!("q", { lease }), "lease"),
  )
  test("that makes readWithPoll look without a pause", () => expectOption(() => queue.readWithPoll!({ interval: 0 }), "interval"))
})

describe("no SQL runs for a wrong value of", () => {
  const numbers = [-1, 1.5, NaN, Infinity, "1", null, true, {}, [], 1n]
  const rows: [string, string, (value: unknown) => unknown, unknown[]][] = [
    ["send at", "options.at", (at) => queue.send!(1, { at }), [new Date(NaN), new Date(8.64e15), new Date(-8.64e15), 0, "2024-01-01", null, {}]],
    ["item at", "items[0].at", (at) => queue.sendBatch!([{ payload: 1, at }]), [new Date("no"), 5]],
    ["setVt date", "vt", (vt) => queue.setVt!(message, vt), [new Date(NaN), new Date(8.64e15)]],
    ["at with delay", "options.at", (at) => queue.send!(1, { at, delay: "1s" }), [new Date()]],
    ["priority", "options.priority", (priority) => queue.send!(1, { priority }), [...numbers, 16]],
    ["item priority", "items[0].priority", (priority) => queue.sendBatch!([{ payload: 1, priority }]), [...numbers, 16]],
    ["headers", "options.headers", (headers) => queue.send!(1, { headers }), ["x", 5, null, [], true]],
    ["limit", "limit", (limit) => queue.readBatch!({ limit }), [...numbers, 0, 10_001]], ["popBatch limit", "limit", (limit) => queue.popBatch!({ limit }), [...numbers, 0, 10_001]],
    ["readWithPoll limit", "limit", (limit) => queue.readWithPoll!({ limit }), [...numbers, 0, 10_001]],
    ["read signal", "signal", (signal) => queue.read!({ signal }), [null, {}, "x", 5, { aborted: "no" }, { aborted: false }]],
    ["readWithPoll signal", "signal", (signal) => queue.readWithPoll!({ signal }), [null, {}, "x", { aborted: false }]],
    ["sendBatch items", "items", (items) => queue.sendBatch!(items), [undefined, null, "x", {}, new Set([1])]],
    ["sendBatch item", "items[1]", (item) => queue.sendBatch!([{ payload: 1 }, item]), [undefined, null, "x", 5, []]],
    ["sendBatch item's option", "items[0].tx", (tx) => queue.sendBatch!([{ payload: 1, tx }]), [{}]],
    ...["delete", "archive", "release", "retry", "setVt", "extend"].flatMap((method): typeof rows => {
      const call = (value: unknown): unknown => queue[method]!(value, ...(method === "setVt" || method === "extend" ? ["1s"] : []))
      const bad = [undefined, null, "", "-1", "1.5", "1e3", " 1", "01", "0x1", "9223372036854775808", "1".repeat(20), 1, 1n, {}, "1; drop table x", "١"]
      return [
        [`${method} message`, "message", call, [undefined, null, "1", 1, true]],
        [`${method} id`, "message.id", (id) => call({ id, lease: "1" }), bad], [`${method} lease`, "message.lease", (lease) => call({ id: "1", lease }), bad],
      ]
    }),
    ...["deleteBatch", "archiveBatch"].flatMap((method): typeof rows => [
      [method, "messages", (value) => queue[method]!(value), [undefined, null, {}, "x", message]],
      [method, "messages[1]", (value) => queue[method]!([message, value]), [undefined, null, "1"]],
      [method, "messages[1].id", (id) => queue[method]!([message, { id, lease: "1" }]), ["01", 1, "{1}"]],
      [method, "messages[0].lease", (lease) => queue[method]!([{ id: "1", lease }, message]), [null, undefined, "", 5]],
    ]),
    ["retry error", "error", (error) => queue.retry!(message, { error }), [5, {}, [], true, Symbol("x")]],
    ...["createQueue", "updateQueue"].flatMap((method): typeof rows => {
      const option = (name: string, values: unknown[]): (typeof rows)[number] => [`${method} ${name}`, name, (value) => untyped[method]!("q", { [name]: value }), values]
      return [option("levels", [...numbers, 0, 17]), option("maxAttempts", [...numbers.filter((n) => n !== null), 0, 2 ** 31]), option("notify", ["on", true, null, "OFF"]), option("deadLetter", ["q"])]
    }),
    ["ifExists", "ifExists", (ifExists) => untyped.createQueue!("q", { ifExists }), ["ignore", true, 1]],
    ["patch", "patch", (patch) => untyped.updateQueue!("q", patch), [undefined, null, "x", []]], ["patch option", "patch.ifExists", (ifExists) => untyped.updateQueue!("q", { ifExists }), ["keep"]],
    ["force", "force", (force) => untyped.dropQueue!("q", { force }), [1, "true", {}]], ["keepArchive", "keepArchive", (keepArchive) => untyped.dropQueue!("q", { keepArchive }), [1, "true"]],
    ["page limit", "limit", (limit) => untyped.messages.list!({ limit }), [-1, 0, 1001, 1.5, "1"]],
    ["page after", "after", (after) => untyped.messages.list!({ after }), [5, "x", "", "-1", {}]], ["archive after", "after", (after) => untyped.archive.list!({ after }), [5, "x"]],
    ["queues after", "after", (after) => untyped.queues.list!({ after }), [5, {}, "\0", []]],
    ["prefix", "prefix", (prefix) => untyped.queues.list!({ prefix }), [5, null, {}, "\0", []]], ["count prefix", "prefix", (prefix) => untyped.queues.count!({ prefix }), [5, null, {}, "\0"]],
    ["state", "state", (state) => untyped.messages.list!({ state }), ["Visible", "", 5, null]], ["outcome", "outcome", (outcome) => untyped.archive.count!({ outcome }), ["failed", null]],
    ["message id", "id", (id) => untyped.messages.get!(id), [undefined, 1, "x", "-1"]], ["archived id", "id", (id) => untyped.archive.get!(id), [undefined, 1n, ""]],
    ["work", "work", (work) => client.transaction(work as never), [undefined, null, "select 1", {}]],
  ]
  test.each(rows)("%s (%s)", async (_name, field, call, values) => {
    for (const value of values) await expectOption(() => call(value), field)
  })
})

describe("no SQL runs for a name that is", () => {
  const takers: [string, (name: unknown) => unknown][] = [
    ["client.queue", (name) => client.queue(name as string)], ["client.wake", (name) => client.wake(name as string)], ["validateQueueName", (name) => admin.validateQueueName(name as string)],
    ...["createQueue", "getQueue", "dropQueue", "purge", "metrics"].map((method): [string, (name: unknown) => unknown] => [`admin.${method}`, (name) => untyped[method]!(name)]),
    ["updateQueue", (name) => untyped.updateQueue!(name, {})], ["deadLetter", (name) => untyped.createQueue!("q", { deadLetter: name })],
    ["queues.get", (name) => untyped.queues.get!(name)], ["messages.list", (queue) => untyped.messages.list!({ queue })], ["archive.count", (queue) => untyped.archive.count!({ queue })],
  ]
  const names = ["", "-a", ".a", ":a", " a", "a ", "a b", "a".repeat(64), "é", "队列", "a/b", "a'b", 'a"b', "a;b", "a\nb", "a\n", "a\0", "x'; drop table sluice.queue; --", "$1", "{schema}", 5, true, {}, [], ["a"], Symbol("a")]
  test.each(takers)("no name: %s", async (who, call) => {
    for (const name of who === "deadLetter" ? names : [...names, null, undefined]) {
      if (name === undefined && /list|count/.test(who)) continue // no filter
      const error = await errorOf<InvalidNameError>(() => call(name))
      expect(error, `${shown(name)}: ${error.stack}`).toBeInstanceOf(InvalidNameError)
      expect(error).toMatchObject({ code: "invalid_name", value: name })
    }
    expect(calls).toEqual([])
  })
  test.each(["a", "A", "_", "9", "a.b:c-d_e", "a".repeat(63), "constructor", "__proto__", "select"])("a name may be %s", (name) => expect(admin.validateQueueName(name)).toBeUndefined())
})

describe("createClient refuses", () => {
  test.each([
    ["driver", () => createClient(undefined as never)], ["driver", () => createClient({} as never)], ["driver", () => createClient("postgres://x" as never)],
    ["options", () => createClient(driver, null as never)], ["options.shema", () => createClient(driver, { shema: "x" } as never)], ["listen", () => createClient(driver, { listen: "no" as never })],
    ["notify", () => createClient(driver, { notify: 1 as never })], ["options.payload", () => createClient(driver, { payload: 5 as never })],
    ["options.payload.maxBytes", () => createClient(driver, { payload: { maxBytes: 0 } })], ["options.payload.maxBytes", () => createClient(driver, { payload: { maxBytes: 2 ** 40 } })],
    ["options.payload.maxDepth", () => createClient(driver, { payload: { maxDepth: 1001 } })], ["options.payload.forbiddenKeys", () => createClient(driver, { payload: { forbiddenKeys: "x" as never } })],
    ["types", () => client.queue("q", null as never)], ["types.schema", () => client.queue("q", { schema: {} } as never)], ["payload", () => client.queue("q", { payload: null as never })], ["payload", () => client.queue("q", { payload: {} as never })],
  ])("a wrong %s", (field, call) => expectOption(call, field))
})
