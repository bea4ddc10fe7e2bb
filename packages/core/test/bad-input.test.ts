import { createClient, InvalidNameError, InvalidOptionError, outcome, type SluiceError } from "@sluice/core"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { admin, calls, client, driver, expectOption, message, queue, schedules } from "./helpers/refused.ts"

beforeEach(() => void calls.splice(0))

const handlers = [client.queue("q").handler(() => {})]

const shown = (value: unknown): string =>
  typeof value === "bigint" || typeof value === "symbol" || value instanceof Date
    ? `${typeof value} ${String(value)}`
    : Number.isNaN(value) || value === Infinity || value === undefined
      ? String(value)
      : typeof value === "function"
        ? "a function"
        : JSON.stringify(value)

describe("no SQL runs for options that", () => {
  /** Every public method that takes options, with its other arguments good. */
  const takers: Record<string, (options: unknown) => unknown> = {
    send: (o) => queue.send!(1, o),
    sendBatch: (o) => queue.sendBatch!([{ payload: 1 }], o),
    read: (o) => queue.read!(o),
    readBatch: (o) => queue.readBatch!(o),
    readWithPoll: (o) => queue.readWithPoll!(o),
    pop: (o) => queue.pop!(o),
    popBatch: (o) => queue.popBatch!(o),
    setVt: (o) => queue.setVt!(message, "1s", o),
    extend: (o) => queue.extend!(message, "1s", o),
    release: (o) => queue.release!(message, o),
    retry: (o) => queue.retry!(message, o),
    snooze: (o) => queue.snooze!(message, "1s", o),
    deadLetter: (o) => queue.deadLetter!(message, o),
    cancel: (o) => queue.cancel!("1", o),
    delete: (o) => queue.delete!(message, o),
    archive: (o) => queue.archive!(message, o),
    deleteBatch: (o) => queue.deleteBatch!([message], o),
    archiveBatch: (o) => queue.archiveBatch!([message], o),
    purge: (o) => queue.purge!(o),
    metrics: (o) => queue.metrics!(o),
    "admin.install": (o) => admin.install!(o),
    "admin.verify": (o) => admin.verify!(o),
    "admin.uninstall": (o) =>
      admin.uninstall!(typeof o === "object" && o && !Array.isArray(o) ? { confirm: "sluice", ...o } : o),
    "admin.createQueue": (o) => admin.createQueue!("q", o),
    "admin.updateQueue": (o) => admin.updateQueue!("q", {}, o),
    "admin.getQueue": (o) => admin.getQueue!("q", o),
    "admin.listQueues": (o) => admin.listQueues!(o),
    "admin.dropQueue": (o) => admin.dropQueue!("q", o),
    "admin.purge": (o) => admin.purge!("q", o),
    "admin.pauseQueue": (o) => admin.pauseQueue!("q", o),
    "admin.resumeQueue": (o) => admin.resumeQueue!("q", o),
    "admin.redrive": (o) => admin.redrive!("q", o),
    "admin.metrics": (o) => admin.metrics!("q", o),
    "admin.metricsAll": (o) => admin.metricsAll!(o),
    ...Object.fromEntries(
      (["queues", "messages", "archive"] as const).flatMap((accessor) => [
        [`admin.${accessor}.count`, (o: unknown) => admin[accessor].count!(o)],
        [`admin.${accessor}.list`, (o: unknown) => admin[accessor].list!(o)],
        [`admin.${accessor}.get`, (o: unknown) => admin[accessor].get!("1", o)],
      ]),
    ),
    "admin.messages.delete": (o) => admin.messages.delete!("q", "1", o),
    "admin.messages.archive": (o) => admin.messages.archive!("q", ["1"], o),
    "admin.messages.setVt": (o) => admin.messages.setVt!("q", "1", "1s", o),
    "schedules.upsert": (o) => schedules.upsert!("s", { queue: "q", cron: "@daily" }, o),
    "schedules.list": (o) => schedules.list!(o),
    ...Object.fromEntries(
      ["get", "pause", "resume", "remove", "runNow", "preview"].map((method) => [`schedules.${method}`, (o: unknown) => schedules[method]!("s", o)]),
    ),
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
  test.each(Object.entries(takers).filter(([name]) => name !== "readWithPoll"))(
    "lost their transaction: %s",
    async (_name, call) => {
      for (const tx of [undefined, null]) {
        const error = await errorOf<InvalidOptionError>(() => call({ tx }))
        expect(error).toMatchObject({ code: "invalid_option", field: expect.stringMatching(/\.tx$/) })
        expect(error.message).toContain("the transaction got lost")
      }
      expect(calls).toEqual([])
    },
  )
  test("join a transaction where none can be joined: readWithPoll", () =>
    expectOption(() => queue.readWithPoll!({ tx: {} }), "options.tx"))
})

describe("no SQL runs for a duration", () => {
  const takers: [string, string, (duration: unknown) => unknown][] = [
    ["send", "options.delay", (delay) => queue.send!(1, { delay })],
    ["sendBatch", "options.delay", (delay) => queue.sendBatch!([{ payload: 1 }], { delay })],
    ["an item", "items[1].delay", (delay) => queue.sendBatch!([{ payload: 1 }, { payload: 2, delay }])],
    ["read", "lease", (lease) => queue.read!({ lease })],
    ["readBatch", "lease", (lease) => queue.readBatch!({ lease })],
    ["readWithPoll", "wait", (wait) => queue.readWithPoll!({ wait })],
    ["readWithPoll", "interval", (interval) => queue.readWithPoll!({ interval, wait: "1s" })],
    ["setVt", "vt", (vt) => queue.setVt!(message, vt)],
    ["extend", "by", (by) => queue.extend!(message, by)],
    ["retry", "delay", (delay) => queue.retry!(message, { delay })],
    ["snooze", "delay", (delay) => queue.snooze!(message, delay)],
    ["outcome.snooze", "delay", (delay) => outcome.snooze(delay as never)],
    ["outcome.retry", "delay", (delay) => outcome.retry({ delay: delay as never })],
    ["createQueue", "backoff.base", (base) => admin.createQueue!("q", { backoff: { kind: "fixed", base } })],
    ["updateQueue", "backoff.max", (max) => admin.updateQueue!("q", { backoff: { kind: "linear", base: "1s", max } })],
    ["handler", "lease", (lease) => client.queue("q").handler(() => {}, { lease: lease as never })],
    ["handler", "timeout", (timeout) => client.queue("q").handler(() => {}, { timeout: timeout as never })],
    ["worker", "pollInterval", (pollInterval) => client.worker(handlers, { pollInterval: pollInterval as never })],
    ["worker.stop", "timeout", (timeout) => client.worker(handlers).stop({ timeout: timeout as never })],
    ["worker.runFor", "budget", (budget) => client.worker(handlers).runFor(budget as never)],
    ["createQueue", "lease", (lease) => admin.createQueue!("q", { lease })],
    ["updateQueue", "lease", (lease) => admin.updateQueue!("q", { lease })],
    ["messages.setVt", "vt", (vt) => admin.messages.setVt!("q", "1", vt)],
    ["schedules.upsert", "schedule.every", (every) => schedules.upsert!("s", { queue: "q", every })],
    ["schedules.preview", "schedule.every", (every) => schedules.preview!({ every })],
  ]
  const durations = [
    10,
    -1,
    0.5,
    NaN,
    Infinity,
    "10",
    "-1s",
    "1 s",
    "1S",
    "s",
    "",
    "1h30m",
    "1e3s",
    "36501d",
    "Infinitys",
    ".5s",
    "1w",
    "１s",
    "1s\n",
    null,
    true,
    {},
    [],
    5n,
    () => 1,
  ]
  test.each(takers)("of %s: %s", async (_name, field, call) => {
    for (const duration of durations) await expectOption(() => call(duration), field)
  })
  test("that is a bare number: the error shows what to write", async () => {
    expect((await errorOf(() => queue.send!(1, { delay: 10 }))).message).toContain(
      'write "10s" for seconds or "10ms" for milliseconds',
    )
  })
  test.each([
    ["createQueue", 0],
    ["createQueue", "0s"],
    ["updateQueue", "0ms"],
    ["createQueue", "0.0001ms"],
  ])("that makes a queue's lease 0: %s %s", (method, lease) =>
    expectOption(() => admin[method as "createQueue"]!("q", { lease }), "lease"),
  )
  test("that makes readWithPoll look without a pause", () =>
    expectOption(() => queue.readWithPoll!({ interval: 0 }), "interval"))
})

describe("no SQL runs for a name that is", () => {
  const takers: [string, (name: unknown) => unknown][] = [
    ["client.queue", (name) => client.queue(name as string)],
    ["client.wake", (name) => client.wake(name as string)],
    ["validateQueueName", (name) => client.admin.validateQueueName(name as string)],
    ...["createQueue", "getQueue", "dropQueue", "purge", "metrics", "pauseQueue", "resumeQueue", "redrive"].map(
      (method): [string, (name: unknown) => unknown] => [`admin.${method}`, (name) => admin[method]!(name)],
    ),
    ["updateQueue", (name) => admin.updateQueue!(name, {})],
    ["deadLetter", (name) => admin.createQueue!("q", { deadLetter: name })],
    ["queues.get", (name) => admin.queues.get!(name)],
    ["messages.list", (queue) => admin.messages.list!({ queue })],
    ["archive.count", (queue) => admin.archive.count!({ queue })],
    ["messages.delete", (name) => admin.messages.delete!(name, "1")],
    ["messages.archive", (name) => admin.messages.archive!(name, ["1"])],
    ["messages.setVt", (name) => admin.messages.setVt!(name, "1", "1s")],
    ["schedules.upsert", (name) => schedules.upsert!(name, { queue: "q", cron: "@daily" })],
    ["a schedule's queue", (name) => schedules.upsert!("s", { queue: name, cron: "@daily" })],
    ...["get", "pause", "resume", "remove", "runNow"].map(
      (method): [string, (name: unknown) => unknown] => [`schedules.${method}`, (name) => schedules[method]!(name)],
    ),
  ]
  const names = [
    "",
    "-a",
    ".a",
    ":a",
    " a",
    "a ",
    "a b",
    "a".repeat(64),
    "é",
    "队列",
    "a/b",
    "a'b",
    'a"b',
    "a;b",
    "a\nb",
    "a\n",
    "a\0",
    "x'; drop table sluice.queue; --",
    "$1",
    "{schema}",
    5,
    true,
    {},
    [],
    ["a"],
    Symbol("a"),
  ]
  test.each(takers)("no name: %s", async (who, call) => {
    for (const name of who === "deadLetter" ? names : [...names, null, undefined]) {
      if (name === undefined && /list|count/.test(who)) continue // no filter
      const error = await errorOf<InvalidNameError>(() => call(name))
      expect(error, `${shown(name)}: ${error.stack}`).toBeInstanceOf(InvalidNameError)
      expect(error).toMatchObject({ code: "invalid_name", value: name })
    }
    expect(calls).toEqual([])
  })
  test.each(["a", "A", "_", "9", "a.b:c-d_e", "a".repeat(63), "constructor", "__proto__", "select"])(
    "a name may be %s",
    (name) => expect(client.admin.validateQueueName(name)).toBeUndefined(),
  )
})

describe("createClient refuses", () => {
  test.each([
    ["driver", () => createClient(undefined as never)],
    ["driver", () => createClient({} as never)],
    ["driver", () => createClient("postgres://x" as never)],
    ["options", () => createClient(driver, null as never)],
    ["options.shema", () => createClient(driver, { shema: "x" } as never)],
    ["listen", () => createClient(driver, { listen: "no" as never })],
    ["notify", () => createClient(driver, { notify: 1 as never })],
    ["options.payload", () => createClient(driver, { payload: 5 as never })],
    ["options.payload.maxBytes", () => createClient(driver, { payload: { maxBytes: 0 } })],
    ["options.payload.maxBytes", () => createClient(driver, { payload: { maxBytes: 2 ** 40 } })],
    ["options.payload.maxDepth", () => createClient(driver, { payload: { maxDepth: 1001 } })],
    ["options.payload.forbiddenKeys", () => createClient(driver, { payload: { forbiddenKeys: "x" as never } })],
    ["types", () => client.queue("q", null as never)],
    ["types.schema", () => client.queue("q", { schema: {} } as never)],
    ["payload", () => client.queue("q", { payload: null as never })],
    ["payload", () => client.queue("q", { payload: {} as never })],
  ])("a wrong %s", (field, call) => expectOption(call, field))
})
