import type { SqlValue } from "@sluice/core"
import { equal } from "../assert.ts"
import type { ConformanceCase } from "../case.ts"
import { everyPath, knownStatement, sameValue } from "./every-path.ts"

function json(name: string, value: unknown, kind: string): ConformanceCase {
  return {
    name: `JSON text reaches jsonb: ${name}`,
    rule: "values-in",
    async run(context) {
      const text = "select jsonb_typeof($1::text::jsonb) as kind, ($1::text::jsonb)::text as json"
      await everyPath(context, text, [JSON.stringify(value)], (rows, path) => {
        const [row] = rows as { kind: unknown; json: unknown }[]
        equal(row?.kind, kind, `${path}: the server must see a JSON ${kind}; "string" means that it was encoded twice`)
        equal(typeof row?.json, "string", `${path}: JSON leaves as text and is parsed once, in core`)
        equal(JSON.parse(String(row?.json)), value, `${path}: the JSON text`)
      })
    },
  }
}

function list(name: string, type: string, literal: string, elements: string): ConformanceCase {
  const text = `select to_json($1::text::${type})::text as elements`
  return knownStatement({ name, text, values: [literal], rows: [{ elements }], rule: "values-in" })
}

const oddTexts: readonly (readonly [string, string])[] = [
  ["plain text", "plain"],
  ["empty text is not null", ""],
  ["text with quotes and backslashes", `it's "quoted" \\ and \\\\ and \\n $1 '' \\'`],
  ["text with line breaks, tabs and blanks at both ends", "  a\r\n\tb\n "],
  ["unicode text", "Grüße, 你好, שלום, e\u0301, \u2028, \uFEFF"],
  ["astral text", "🚀 𝒳 👩‍👩‍👧 \u{10FFFF}"],
  ["1 MB of text", "0123456789abcdef".repeat(65_536)],
  ["text that looks like JSON stays text", `{"a": [1, "2", null]}`],
  ["text that looks like a date stays text", "2026-01-02"],
  ["text that looks like a timestamp stays text", "2026-01-02T03:04:05.678Z"],
  ["text that looks like a number stays text", "007"],
  ["text that looks like a boolean stays text", "t"],
  ["text that looks like an array stays text", "{1,2,NULL}"],
  ["text that says NULL stays text", "NULL"],
]

const values: readonly (readonly [string, string, SqlValue])[] = [
  ["int4: zero", "int4", 0],
  ["int4: the largest", "int4", 2_147_483_647],
  ["int4: the smallest", "int4", -2_147_483_648],
  ["float8: a fraction", "float8", 0.1],
  ["float8: a whole number", "float8", 3],
  ["float8: the largest safe integer", "float8", Number.MAX_SAFE_INTEGER],
  ["float8: the largest", "float8", Number.MAX_VALUE],
  ["float8: next to nothing", "float8", Number.MIN_VALUE],
  ["float8: epoch milliseconds stay a number", "float8", 1_767_323_045_678.901],
  ["bool: true", "bool", true],
  ["bool: false", "bool", false],
  ["null as text", "text", null],
  ["null as int4", "int4", null],
  ["null as float8", "float8", null],
  ["null as bool", "bool", null],
]

/** Values in and out. */
export const wireValues: readonly ConformanceCase[] = [
  ...oddTexts.map(([name, value]) => sameValue(name, "text", value)),
  ...values.map(([name, type, value]) => sameValue(name, type, value)),
  json("object", { a: 1, b: { c: [null, true, "x"] } }, "object"),
  json("array", [1, "two", { three: 3 }, [4], null], "array"),
  json("array of objects", [{ a: 1 }, { a: 2 }], "array"),
  json("string", `a "string" with \\ and '`, "string"),
  json("number", 12.5, "number"),
  json("boolean", false, "boolean"),
  json("null", null, "null"),
  json("unicode and astral", { ключ: "值 🚀 \u2028" }, "object"),
  json("text inside that looks like JSON", { inner: `{"a":1}` }, "object"),
  knownStatement({
    name: "null is no JSON",
    text: "select ($1::text::jsonb) is null as missing",
    values: [null],
    rows: [{ missing: true }],
    rule: "values-in",
  }),
  knownStatement({
    name: "a JSON number beyond double precision keeps its digits",
    text: "select ($1::text::jsonb)::text as json",
    values: ["12345678901234567890.123456789"],
    rows: [{ json: "12345678901234567890.123456789" }],
    rule: "values-in",
  }),
  knownStatement({
    name: "64-bit ids travel as text both ways",
    text: "select ($1::text::bigint)::text as id, ($1::text::bigint = 9223372036854775807) as same",
    values: ["9223372036854775807"],
    rows: [{ id: "9223372036854775807", same: true }],
    rule: "values-out",
  }),
  knownStatement({
    name: "a time leaves as float8 epoch milliseconds with its microseconds",
    text: "select (extract(epoch from timestamptz '2026-01-02 03:04:05.678901+00') * 1000)::float8 as at",
    rows: [{ at: 1_767_323_045_678.901 }],
    rule: "values-out",
  }),
  knownStatement({
    name: "a time enters as float8 epoch milliseconds with its microseconds",
    text: "select to_char(to_timestamp($1::float8 / 1000) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') as at",
    values: [1_767_323_045_678.901],
    rows: [{ at: "2026-01-02 03:04:05.678901" }],
    rule: "values-in",
  }),
  list("array literal: ids", "bigint[]", "{1,9223372036854775807,-5}", "[1,9223372036854775807,-5]"),
  list("array literal: empty", "text[]", "{}", "[]"),
  list("array literal: NULL beside the text NULL", "text[]", `{a,NULL,"NULL",""}`, `["a",null,"NULL",""]`),
  list(
    "array literal: quotes, backslashes, commas",
    "text[]",
    `{"q\\"q","b\\\\b","c,c","{}"}`,
    `["q\\"q","b\\\\b","c,c","{}"]`,
  ),
]
