import { equal } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { dataOf, mustNext, openStream } from "./open-stream.ts"

/** Published alone, in a batch and as a header: the same value comes out, and again when it is retried. */
function roundTrip(name: string, value: unknown, stored: unknown = value): ConformanceCase {
  return {
    name: `event data: ${name}`,
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      await stream.publish("one", value, { headers: { value: stored as never } })
      await stream.publishBatch([{ type: "two", data: value }, { type: "three", data: [value] }])
      const batch = await mustNext(reader)
      const events = await batch.list()
      equal(dataOf(events), [stored, stored, [stored]], "data")
      equal(events[0]!.headers, { value: stored }, "headers")
      batch.retry(events[0]!, { delay: 0 })
      await batch.finish()
      const [again] = await (await mustNext(reader)).list()
      equal([again?.data, again?.headers], [stored, { value: stored }], "retried: data and headers")
    },
  }
}

const date = new Date("2024-02-29T23:59:59.999Z")

export const valueCases: readonly ConformanceCase[] = [
  roundTrip("null", null),
  roundTrip("false, 0, the empty string, object and array", [false, 0, "", {}, []]),
  roundTrip("numbers at the edges of a double", [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 2 ** 63, Number.MAX_VALUE, Number.MIN_VALUE, 0.1 + 0.2, 1e21]),
  roundTrip("64-bit and larger integers as strings", ["9223372036854775807", "-9223372036854775808", "123456789012345678901234567890"]),
  roundTrip("unicode", { "ключ": "🚀 𝒳 \u2028 e\u0301 é", "שלום": "你好", "": "\u{10ffff}" }),
  roundTrip("text that looks like JSON, SQL or a number", ["null", `{"a":1}`, "'; drop table x; --", "$1", "1e3", "\\x41", "{}"]),
  roundTrip("a string that looks like JSON", `{"a": 1}`),
  roundTrip("a Date, as ISO text", { at: date }, { at: date.toISOString() }),
  roundTrip("1 MB", { text: "0123456789abcdef".repeat(65_536) }),
  {
    name: "event type, key and extras: any text",
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      const texts = ["it's \"q\" \\ $1 \n", "🚀 ключ", "{}", "null", "NULL", "1", "t", " "]
      for (const text of texts) await stream.publish(text, 1, { key: text, extra: [text, null, text] })
      const events = await (await mustNext(reader)).list()
      equal(events.map(({ type, key, extra }) => [type, key, ...extra]), texts.map((text) => [text, text, text, null, text, null]), "type, key and extras")
    },
  },
]
