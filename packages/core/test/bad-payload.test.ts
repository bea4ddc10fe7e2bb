import { createClient, PayloadInvalidError, PayloadTooLargeError, type StandardSchema } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"
import { noSqlDriver } from "./helpers/no-sql-driver.ts"

const { client: real, pool, freshQueue } = await harness()
const { driver, calls } = noSqlDriver()
const queue = createClient(driver).queue("q")
beforeEach(() => void calls.splice(0))

const cycle: Record<string, unknown> = { a: { b: [] } }
;(cycle.a as { b: unknown[] }).b.push(cycle)
const nested = (levels: number): unknown => (levels === 0 ? 1 : { a: nested(levels - 1) })
const nestedArrays = (levels: number): unknown => (levels === 0 ? 1 : [nestedArrays(levels - 1)])

/** What cannot be stored as it is, and the way to the part that cannot. */
const bad: [what: string, value: unknown, path: string, reason: RegExp][] = [
  ["U+0000 at the top", "a\0b", "", /U\+0000/],
  ["U+0000 in a value", { a: ["ok", "\0"] }, ".a[1]", /U\+0000/],
  ["U+0000 in a key", { a: { "x\0": 1 } }, ".a", /a key that contains U\+0000/],
  ["a lone high surrogate", { a: "\ud83d" }, ".a", /lone surrogate/],
  ["a lone low surrogate in a key", { "\ude00": 1 }, "", /a key that contains a lone surrogate/],
  ["surrogates the wrong way round", ["\ude00\ud83d"], "[0]", /lone surrogate/],
  ["NaN", { n: NaN }, ".n", /NaN/],
  ["Infinity", [1, [Infinity]], "[1][0]", /Infinity/],
  ["-Infinity", -Infinity, "", /Infinity/],
  ["a boxed NaN", { n: new Number(NaN) }, ".n", /Number/],
  ["a boxed text with U+0000", { s: new String("\0") }, ".s", /String/],
  ["a bigint", { id: 1n }, ".id", /bigint/],
  ["undefined", undefined, "", /undefined/],
  ["undefined in an array", [undefined], "[0]", /undefined/],
  ["a hole in an array", Object.assign([1], { length: 3 }), "[1]", /undefined/],
  ["a function", { f: () => 1 }, ".f", /function/],
  [
    "a class",
    class Letter {
      to = "ada"
    },
    "",
    /function/,
  ],
  ["a symbol", { s: Symbol("s") }, ".s", /symbol/],
  ["a cycle", cycle, ".a.b[0]", /cycle/],
  ["a Map", { m: new Map([[1, 2]]) }, ".m", /Map/],
  ["a Set", new Set([1]), "", /Set/],
  ["a typed array", { b: new Uint8Array(2) }, ".b", /Uint8Array/],
  ["an ArrayBuffer", { b: new ArrayBuffer(2) }, ".b", /ArrayBuffer/],
  ["a Promise that was not awaited", { p: Promise.resolve(1) }, ".p", /Promise/],
  ["a WeakMap", { w: new WeakMap() }, ".w", /WeakMap/],
  ["a regular expression", { r: /x/ }, ".r", /RegExp/],
  ["an Error", { e: new Error("lost") }, ".e", /Error/],
  ["an invalid Date", { at: new Date(NaN) }, ".at", /invalid Date/],
  ["a toJSON that gives U+0000", { t: { toJSON: () => "\0" } }, ".t", /U\+0000/],
  ["a toJSON that gives undefined", { t: [{ toJSON: () => undefined }] }, ".t[0]", /undefined/],
  ["101 levels of objects", nested(101), ".a".repeat(100), /deeper than 100/],
  ["101 levels of arrays", nestedArrays(101), "[0]".repeat(100), /deeper than 100/],
  ["5,000 levels", JSON.parse("[".repeat(5000) + "]".repeat(5000)), "[0]".repeat(100), /deeper than 100/],
  ["an own __proto__", JSON.parse('{"a":{"__proto__":{"admin":true}}}'), ".a", /forbidden key "__proto__"/],
  ["an own constructor", { constructor: 1 }, "", /forbidden key "constructor"/],
]

describe("no SQL runs for a payload with", () => {
  test.each(bad)("%s", async (_what, value, path, reason) => {
    const error = await errorOf<PayloadInvalidError>(queue.send(value))
    expect(error, error.stack).toBeInstanceOf(PayloadInvalidError)
    expect(error).toMatchObject({ code: "payload_invalid", path: `payload${path}`, index: undefined })
    expect(error.message).toMatch(reason)
    expect(error.message).toContain(`payload${path}`)
    expect(calls).toEqual([])
  })

  test.each(bad)("%s in an item of a batch, which the error names", async (_what, value, path) => {
    const error = await errorOf<PayloadInvalidError>(
      queue.sendBatch([{ payload: 1 }, { payload: 2 }, { payload: value }, { payload: 3 }]),
    )
    expect(error).toBeInstanceOf(PayloadInvalidError)
    expect(error).toMatchObject({ path: `payload${path}`, index: 2 })
    expect(error.message).toContain("item 2")
    expect(calls).toEqual([])
  })
})

describe("no SQL runs for headers with", () => {
  const objects = bad.filter(([, value]) => typeof value === "object" && !Array.isArray(value))
  test.each(objects)("%s", async (_what, value, path) => {
    expect(await errorOf(queue.send(1, { headers: value as never }))).toMatchObject({
      code: "payload_invalid",
      path: `headers${path}`,
    })
    expect(await errorOf(queue.sendBatch([{ payload: 1 }], { headers: value as never }))).toMatchObject({
      path: `headers${path}`,
      index: undefined,
    })
    const item = await errorOf(queue.sendBatch([{ payload: 1 }, { payload: 1, headers: value as never }]))
    expect(item).toMatchObject({ code: "payload_invalid", path: `headers${path}`, index: 1 })
    expect(item.message).toContain("item 1")
    expect(calls).toEqual([])
  })
})

describe("a payload too large", () => {
  const small = createClient(driver, { payload: { maxBytes: 100, maxDepth: 2, forbiddenKeys: ["secret"] } }).queue("q")

  test("is refused with both sizes, in bytes of UTF-8", async () => {
    const error = await errorOf<PayloadTooLargeError>(small.send("é".repeat(50)))
    expect(error).toBeInstanceOf(PayloadTooLargeError)
    expect(error).toMatchObject({ code: "payload_too_large", actual: 102, limit: 100, index: undefined })
    expect(error.message).toContain("102")
    expect(error.message).toContain("100")
    // One byte less than the limit gets as far as SQL.
    expect((await errorOf(small.send("é".repeat(49)))).message).toMatch(/There was SQL/)
  })

  test("in a batch or its headers names the item", async () => {
    expect(await errorOf(small.sendBatch([{ payload: 1 }, { payload: "x".repeat(99) }]))).toMatchObject({
      actual: 101,
      limit: 100,
      index: 1,
    })
    expect(await errorOf(small.send(1, { headers: { h: "x".repeat(93) } }))).toMatchObject({
      code: "payload_too_large",
      actual: 101,
    })
    expect(
      await errorOf(small.sendBatch([{ payload: 1 }, { payload: 1, headers: { h: "x".repeat(93) } }])),
    ).toMatchObject({ actual: 101, index: 1 })
    expect(calls).toEqual([])
  })

  test("has a default limit of 8 MiB", async () => {
    expect(await errorOf(queue.send("x".repeat(8 * 1024 * 1024 - 1)))).toMatchObject({
      actual: 8 * 1024 * 1024 + 1,
      limit: 8 * 1024 * 1024,
    })
  })

  test("as a whole batch above 64 MiB is refused with both sizes", async () => {
    const items = Array.from({ length: 9 }, () => ({ payload: "x".repeat(8 * 1024 * 1024 - 2) }))
    const error = await errorOf<PayloadTooLargeError>(queue.sendBatch(items))
    expect(error).toBeInstanceOf(PayloadTooLargeError)
    expect(error.limit).toBe(64 * 1024 * 1024)
    expect(error.actual).toBeGreaterThanOrEqual(72 * 1024 * 1024)
    expect(error.message).toContain("9 messages")
    expect(calls).toEqual([])
  })

  test("or too deep, or with a forbidden key, is so by the client's own limits", async () => {
    expect(await errorOf(small.send([[[]]]))).toMatchObject({ code: "payload_invalid", path: "payload[0][0]" })
    expect(await errorOf(small.send({ a: { secret: 1 } }))).toMatchObject({
      code: "payload_invalid",
      path: "payload.a",
    })
    expect((await errorOf(small.send({ constructor: [1] }))).message).toMatch(/There was SQL/)
  })
})

describe("what a schema refuses", () => {
  const even: StandardSchema<number> = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: async (value) =>
        typeof value === "number" && value % 2 === 0
          ? { value }
          : { issues: [{ message: "is odd", path: ["a", 1, { key: "b" }] }] },
    },
  }
  test("is not sent, and the error has its path, its issues and the item", async () => {
    const typed = createClient(driver).queue("q", { payload: even })
    const error = await errorOf<PayloadInvalidError>(typed.send(3))
    expect(error).toBeInstanceOf(PayloadInvalidError)
    expect(error).toMatchObject({ path: "payload.a[1].b", index: undefined, issues: [{ message: "is odd" }] })
    expect(await errorOf(typed.sendBatch([{ payload: 2 }, { payload: 5 }]))).toMatchObject({
      code: "payload_invalid",
      index: 1,
    })
    expect(calls).toEqual([])
  })
})

describe("a batch with one bad item", () => {
  test("writes nothing (pgqrs: batch validation is atomic)", async () => {
    const name = await freshQueue({ levels: 2 })
    const sending = real.queue(name)
    const good = { payload: "good" }
    for (const item of [
      { payload: NaN },
      { payload: 1, priority: 99 },
      { payload: 1, priority: 2 },
      { payload: 1, delay: "-1s" },
      { payload: 1, headers: { x: "\0" } },
      null,
    ]) {
      await errorOf(sending.sendBatch([good, item as never, good]))
    }
    expect(await real.admin.metrics(name)).toMatchObject({ length: 0, total: 0 })
  })

  test("names the item whose priority the queue does not have, and the transaction goes on", async () => {
    const name = await freshQueue({ levels: 2 })
    const tx = await pool.connect()
    await tx.query("begin")
    const error = await errorOf(real.queue(name).sendBatch([{ payload: 0 }, { payload: 1, priority: 2 }], { tx }))
    expect(error).toMatchObject({ code: "invalid_option", field: "items[1].priority", value: 2 })
    expect(error.message).toContain("from 0 to 1")
    expect(await errorOf(real.queue(name).sendBatch([{ payload: 0 }], { tx, priority: 3 }))).toMatchObject({
      code: "invalid_option",
      field: "priority",
    })
    await real.queue(name).send("after", { tx })
    await tx.query("commit")
    tx.release()
    expect(await real.queue(name).readBatch({ limit: 5 })).toMatchObject([{ payload: "after" }])
  })
})

describe("what is good comes back as it was", () => {
  test.each([
    null,
    "",
    0,
    -0.5,
    1e308,
    5e-324,
    2 ** 53,
    true,
    [],
    {},
    "😀\u2028\t\"\\'$1 {schema} {{}}",
    [[[]]],
    { "": { " ": null } },
    "\ufffe\uffff\u0001",
    nested(99),
    { a: undefined, b: 1 },
    "x".repeat(1_000_000),
  ])("%j", async (payload) => {
    const sending = createClient(pgDriver(pool), { listen: false, notify: false }).queue(await freshQueue())
    await sending.send(payload, { headers: { payload: payload as never } })
    await sending.sendBatch([{ payload, headers: { payload: payload as never } }])
    for (const message of await sending.readBatch({ limit: 2 })) {
      expect(message.payload).toEqual(payload)
      expect(message.headers).toEqual({ payload })
    }
  })

  test("a Date, a URL and whatever else has toJSON arrive as their text", async () => {
    const name = await freshQueue()
    await real.queue(name).send({ at: new Date(0), url: new URL("https://a.b/"), own: { toJSON: () => [1] } })
    expect((await real.queue(name).read())!.payload).toEqual({
      at: "1970-01-01T00:00:00.000Z",
      url: "https://a.b/",
      own: [1],
    })
  })

  test("the same object twice is no cycle", async () => {
    const shared = { x: 1 }
    const name = await freshQueue()
    await real.queue(name).send([shared, shared, { shared }])
    expect((await real.queue(name).read())!.payload).toEqual([shared, shared, { shared }])
  })
})
