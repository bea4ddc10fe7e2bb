import { equal, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { mustRead, openClient, openQueue, payloads, refuses } from "./open-queue.ts"

/** Sent alone, in a batch, read, popped and looked at: the same value comes out. `stored` is what JSON makes of it. */
function roundTrip(name: string, value: unknown, stored: unknown = value): ConformanceCase {
  return {
    name: `payload: ${name}`,
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context)
      const id = await queue.send(value, { headers: { value: stored as never } })
      await queue.sendBatch([{ payload: value }, { payload: [value] }])
      const message = await mustRead(queue)
      equal([message.payload, message.headers.value], [stored, stored], "read: payload and header")
      equal((await client.admin.messages.get(id))?.payload, stored, "looked at")
      equal(payloads(await queue.popBatch({ limit: 2 })), [stored, [stored]], "from a batch, popped")
      await queue.archive(message)
      equal((await client.admin.archive.get(id))?.payload, stored, "archived")
    },
  }
}

const date = new Date("2024-02-29T23:59:59.999Z")
const deep = Array.from({ length: 99 }).reduce<unknown>((inner, _, n) => (n % 2 ? [inner] : { inner }), "bottom")

/** What goes in comes out. */
export const payloadCases: readonly ConformanceCase[] = [
  roundTrip("null", null),
  roundTrip("false", false),
  roundTrip("0", 0),
  roundTrip("the empty string", ""),
  roundTrip("an empty object", {}),
  roundTrip("an empty array", []),
  roundTrip("an array of nulls", [null, [null], {}]),
  roundTrip("text that looks like JSON, SQL or a number", ["null", "{\"a\":1}", "'; drop table x; --", "$1", "1e3", "\\x41", "NULL", "{}"]),
  roundTrip("every control character but U+0000", String.fromCharCode(...Array.from({ length: 31 }, (_, n) => n + 1), 127)),
  roundTrip("unicode", "Grüße, 日本語, עברית, é (composed) é (not), \u2028\u2029\ufeff\ufffd"),
  roundTrip("characters beyond U+FFFF", "😀👩‍👩‍👧‍👦𝔘\u{10ffff}"),
  roundTrip("keys of emoji, of spaces, empty, numeric and of JavaScript", { "😀": 1, " ": 2, "": 3, "10": 4, "9": 5, "a.b": 6, toString: 7, prototype: 8, "$1": 9 }),
  roundTrip("backslashes and quotes", { "\\": "\\\\", "\"": "'\"`", "\n": "\t\r\n" }),
  roundTrip("99 levels deep", deep),
  roundTrip("integers at the edge of what a double keeps", [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 2 ** 53, 2 ** 63]),
  roundTrip("64-bit and larger integers as strings", ["9223372036854775807", "-9223372036854775808", "123456789012345678901234567890"]),
  roundTrip("numbers at the extremes of double precision", [Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE, Number.EPSILON, 0.1 + 0.2, 1e21, 1e-7, 5e-324]),
  roundTrip("a Date, as ISO text", { at: date, list: [date] }, { at: date.toISOString(), list: [date.toISOString()] }),
  roundTrip("what toJSON says", { toJSON: () => ({ kind: "money", cents: 5 }) }, { kind: "money", cents: 5 }),
  roundTrip("a property that is undefined is left out", { a: undefined, b: 1 }, { b: 1 }),
  roundTrip("an array of 10,000 numbers", Array.from({ length: 10_000 }, (_, n) => n * 1.5)),
  {
    name: "payload: -0 is 0, as in JSON",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send([-0])
      equal((await mustRead(queue)).payload, [0], "payload")
    },
  },
  {
    name: "payload: 1 MB, alone and in a batch",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const text = "0123456789ß€😀\"\\".repeat(60_000).slice(0, 1_000_000 - (1_000_000 % 17))
      await queue.send({ text })
      await queue.sendBatch([{ payload: text }, { payload: [text] }])
      const [alone, first, second] = payloads(await queue.readBatch({ limit: 3 })) as [{ text: string }, string, string[]]
      ok(alone.text === text, "sent alone")
      ok(first === text && second[0] === text, "sent in a batch")
    },
  },
  {
    name: "payload: what JSON cannot say is refused before any SQL, with the path",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const cycle: { self?: unknown } = {}
      cycle.self = cycle
      const bad: [unknown, string][] = [
        [undefined, "payload"], [Number.NaN, "payload"], [[1, Infinity], "payload[1]"], [{ a: { b: 1n } }, "payload.a.b"],
        [{ t: "a\0b" }, "payload.t"], [["\ud800"], "payload[0]"], [{ ["\udc00"]: 1 }, "payload"], [{ ["a\0"]: 1 }, "payload"],
        [() => 1, "payload"], [Symbol("s"), "payload"], [{ f: () => 1 }, "payload.f"], [cycle, "payload.self"],
        [new Map([[1, 2]]), "payload"], [{ s: new Set() }, "payload.s"], [new Uint8Array(2), "payload"],
        [{ d: new Date(Number.NaN) }, "payload.d"], [[undefined], "payload[0]"], [JSON.parse('{"a":{"__proto__":1}}'), "payload.a"],
        [{ constructor: 1 }, "payload"],
      ]
      for (const [value, path] of bad) await refuses(queue.send(value), "payload_invalid", { path }, `at ${path}`)
      await refuses(queue.send(1, { headers: { h: 1n as never } }), "payload_invalid", { path: "headers.h" }, "in headers")
      equal((await queue.metrics()).total, 0, "ever sent")
    },
  },
  {
    name: "payload: too deep or too large is refused with its own error, by the client's limits",
    rule: "core",
    async run(context) {
      const { queue, name } = await openQueue(context)
      await refuses(queue.send([[deep]]), "payload_invalid", {}, "101 levels")
      const large = "x".repeat(8 * 1024 * 1024)
      await refuses(queue.send(large), "payload_too_large", { actual: large.length + 2, limit: large.length }, "above 8 MiB")
      const strict = await openClient(context, { payload: { maxBytes: 20, maxDepth: 2, forbiddenKeys: ["secret"] } })
      const small = strict.queue(name)
      await refuses(small.send("ß".repeat(10)), "payload_too_large", { actual: 22, limit: 20 }, "bytes, not characters")
      await refuses(small.send([[[]]]), "payload_invalid", {}, "three levels of two")
      await refuses(small.send({ secret: 1 }), "payload_invalid", {}, "a forbidden key")
      await refuses(small.sendBatch([{ payload: 1 }, { payload: large }]), "payload_too_large", { index: 1 }, "in a batch")
      await small.send({ constructor: 1 })
      equal((await queue.metrics()).length, 1, "what was within the limits")
    },
  },
]
