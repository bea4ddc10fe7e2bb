import type { ConformanceCase } from "../case.ts"
import { knownStatement, type KnownStatement } from "./every-path.ts"

type Statement = Omit<KnownStatement, "rule">

/** Statement texts that a driver which rewrites, splits or escapes them gets wrong. */
const statements: readonly Statement[] = [
  {
    name: "$1 in a string literal is no parameter",
    text: "select '$1'::text as literal, 'it''s $2'::text as other, $1::text as value",
    values: ["a"],
    rows: [{ literal: "$1", other: "it's $2", value: "a" }],
  },
  {
    name: "$1 in an escape string is no parameter",
    text: "select E'it\\'s $1'::text as literal, $1::text as value",
    values: ["a"],
    rows: [{ literal: "it's $1", value: "a" }],
  },
  {
    name: "$1 in a line comment is no parameter",
    text: "select $1::text as value -- not $1, not $2 and not ' either\n, $2::text as other",
    values: ["a", "b"],
    rows: [{ value: "a", other: "b" }],
  },
  {
    name: "$1 in a comment on the last line is no parameter",
    text: "select $1::text as value -- $1 $2",
    values: ["a"],
    rows: [{ value: "a" }],
  },
  {
    name: "$1 in a block comment, nested too, is no parameter",
    text: "select /* $1 /* $2 ' */ $3 \" */ $1::text as value",
    values: ["a"],
    rows: [{ value: "a" }],
  },
  {
    name: "$1 in a dollar-quoted body is no parameter",
    text: "select $$ $1 ' $$::text as plain, $body$ $1 $$ $2 $body$::text as tagged, $1::text as value",
    values: ["a"],
    rows: [{ plain: " $1 ' ", tagged: " $1 $$ $2 ", value: "a" }],
  },
  {
    name: "$1 in a quoted identifier is no parameter",
    text: `select x."a$1" as value, $1::text as other from (select 'b'::text as "a$1") x`,
    values: ["a"],
    rows: [{ value: "b", other: "a" }],
  },
  {
    name: "$1 at the end of an identifier is no parameter",
    text: "select x.a$1 as value, $1::text as other from (select 'b'::text as a$1) x",
    values: ["a"],
    rows: [{ value: "b", other: "a" }],
  },
  {
    name: "one parameter used twice",
    text: "select $1::text as first, $2::int4 as second, $1::text || $1::text as third",
    values: ["a", 2],
    rows: [{ first: "a", second: 2, third: "aa" }],
  },
  {
    name: "parameters out of order",
    text: "select $3::text as c, $1::text as a, $2::text as b",
    values: ["a", "b", "c"],
    rows: [{ c: "c", a: "a", b: "b" }],
  },
  {
    name: "$10 beside $1",
    text: `select $1::text || $10::text || $11::text as value, ${list(2, 9)} as rest`,
    values: ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"],
    rows: [{ value: "11011", rest: "23456789" }],
  },
  {
    name: "a value that holds $2, quotes and a semicolon",
    text: "select $1::text as first, $2::text as second",
    values: ["$2'; select 1; --", "$1"],
    rows: [{ first: "$2'; select 1; --", second: "$1" }],
  },
  {
    name: "the ? operators of jsonb",
    text: "select j ? 'a' as has, j ?| '{x,a}' as some, j ?& '{x,a}' as every from (select $1::text::jsonb as j) x",
    values: [`{"a":1}`],
    rows: [{ has: true, some: true, every: false }],
  },
  {
    name: "the @? operator of jsonb and a JSON path with $",
    text: "select $1::text::jsonb @? '$.a[*] ? (@ > 1)' as found",
    values: [`{"a":[1,2]}`],
    rows: [{ found: true }],
  },
  {
    name: "percent signs",
    text: "select 7 % 4 as modulo, format('%s %1$s %%', $1::text) as formatted, 'abc' like 'a%' as matches",
    values: ["x"],
    rows: [{ modulo: 3, formatted: "x x %", matches: true }],
  },
  {
    name: "colons: casts, slices and :name in a literal",
    text: "select ':name'::text as literal, (array[1,2,3])[2:3]::text as slice, $1::text::int4 as cast",
    values: ["4"],
    rows: [{ literal: ":name", slice: "{2,3}", cast: 4 }],
  },
  {
    name: "backslashes and braces in the text",
    text: String.raw`select '\d{2} \\ \n ${"${x}"} {y}'::text as literal, 'a1' ~ '^\w\d$' as matches`,
    rows: [{ literal: String.raw`\d{2} \\ \n ${"${x}"} {y}`, matches: true }],
  },
  {
    name: "unicode in the text",
    text: `select 'Grüße 🚀'::text as literal, $1::text as value`,
    values: ["你好"],
    rows: [{ literal: "Grüße 🚀", value: "你好" }],
  },
  {
    name: "a statement over several lines with blanks around it",
    text: "\n  -- a heading\n  select\n    $1::text as value\n  ",
    values: ["a"],
    rows: [{ value: "a" }],
  },
]

function list(from: number, to: number): string {
  return Array.from({ length: to - from + 1 }, (_, i) => `$${from + i}::text`).join(" || ")
}

export const wireTexts: readonly ConformanceCase[] = statements.map((statement) =>
  knownStatement({ ...statement, rule: "one-statement" }),
)
