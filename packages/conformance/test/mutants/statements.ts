import { mapping, replacing, running, type Mutant } from "./mutant.ts"

const looksLikeJson = /^[[{].*[\]}]$/
const looksLikeTime = /^\d{4}-\d\d-\d\dT/

/** Drivers that change what goes in or comes out. */
export const statementMutants: readonly Mutant[] = [
  mapping("parses JSON", "text that looks like JSON stays text", (value) =>
    typeof value === "string" && looksLikeJson.test(value) ? JSON.parse(value) : value,
  ),
  mapping("returns a Date for epoch milliseconds", "float8: epoch milliseconds stay a number", (value) =>
    typeof value === "number" && value > 1e12 && value < 2e12 ? new Date(value) : value,
  ),
  mapping("returns a Date for a text", "text that looks like a timestamp stays text", (value) =>
    typeof value === "string" && looksLikeTime.test(value) ? new Date(value) : value,
  ),
  mapping("cuts microseconds off", "a time leaves as float8 epoch milliseconds with its microseconds", (value) =>
    typeof value === "number" ? Math.trunc(value) : value,
  ),
  mapping("turns null into undefined", "null as text", (value) => value ?? undefined),
  mapping("turns an empty text into null", "empty text is not null", (value) => (value === "" ? null : value)),
  mapping("reads numbers out of texts", "text that looks like a number stays text", (value) =>
    typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value,
  ),
  running("encodes JSON a second time", "JSON text reaches jsonb: object", (run) => (on, text, values, options) => {
    const encoded = values?.map((value) =>
      typeof value === "string" && looksLikeJson.test(value) ? JSON.stringify(value) : value,
    )
    return run(on, text, encoded, options)
  }),
  running("camel-cases columns", "column names are untouched", (run) => async (...args) => {
    const camel = (name: string): string => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
    const rows = (await run(...args)) as object[]
    return rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [camel(key), value])))
  }),
  running(
    "rewrites $1 by regex",
    "$1 in a string literal is no parameter",
    (run) =>
      (on, text, values = [], options) => {
        const order: number[] = []
        const rewritten = text.replace(/\$(\d+)/g, (_, n: string) => `$${order.push(Number(n))}`)
        return run(
          on,
          rewritten,
          order.map((n) => values[n - 1] ?? null),
          options,
        )
      },
  ),
  running(
    "writes values into the text",
    "a value that holds $2, quotes and a semicolon",
    (run) =>
      (on, text, values = []) => {
        const inline = values.reduce<string>((all, value, i) => {
          const literal = value === null ? "null" : `'${String(value).replaceAll("'", "''")}'`
          return all.replace(new RegExp(`\\$${i + 1}(?!\\d)`, "g"), () => literal)
        }, text)
        return run(on, inline)
      },
  ),
  running("returns the library's result instead of rows", "no rows: []", (run) => async (...args) => {
    const rows = await run(...args)
    return { rows, rowCount: rows.length } as never
  }),
  running(
    "prepares every text under one name",
    "two texts under two names do not mix",
    (run) => (on, text, values, options) =>
      run(on, text, values, options?.name === undefined ? {} : { name: "sluice" }),
  ),
  running("sends two statements", "a warm query is one statement", (run) => async (on, ...args) => {
    await on.query("select 1")
    return run(on, ...args)
  }),
  running(
    "prepares anew every time",
    "a warm query with a name is one round trip",
    (run) => async (on, text, values, options) => {
      if (options?.name !== undefined) await on.query("deallocate all").catch(() => undefined)
      return run(on, text, values)
    },
  ),
  running(
    "swallows an error",
    "a unique violation rejects with 23505",
    (run) =>
      (...args) =>
        run(...args).catch(() => []),
  ),
  running(
    "hides the SQLSTATE",
    "a check violation rejects with 23514",
    (run) =>
      (...args) =>
        run(...args).catch((error: Error) => {
          throw new Error(`the statement failed: ${error.message}`)
        }),
  ),
  running(
    "sends a failed statement again",
    "a failing statement is sent once",
    (run) =>
      (...args) =>
        run(...args).catch(() => run(...args)),
  ),
  replacing(
    "holds one lock around all queries and never lets go after an error",
    "the driver is usable after errors, on every connection",
    (driver) => {
      let last: Promise<unknown> = Promise.resolve()
      return { query: (...args) => (last = last.then(() => driver.query(...args))) as Promise<never> }
    },
  ),
]
