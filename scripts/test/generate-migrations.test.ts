import { expect, test } from "vitest"
import { generateMigrations } from "../generate-migrations.ts"

async function load(sources: { name: string; text: string }[]): Promise<unknown> {
  const { stripTypeScriptTypes } = await import("node:module")
  const code = stripTypeScriptTypes(generateMigrations(sources))
  const module: { migrations: unknown } = await import(`data:text/javascript,${encodeURIComponent(code)}`)
  return module.migrations
}

test("splits at lines that say next, in the order of the numbers, and keeps every character", async () => {
  const second = "-- breaking\nselect '`${x}\\n' -- not the next\n-- next\nselect 2;\n"
  const sources = [
    { name: "0002_more.sql", text: second },
    { name: "0001_tables.sql", text: "create table t ()\n" },
  ]
  expect(await load(sources)).toEqual([
    { version: 1, name: "tables", breaking: false, statements: ["create table t ()"] },
    { version: 2, name: "more", breaking: true, statements: ["select '`${x}\\n' -- not the next", "select 2;"] },
  ])
})

test.each([
  ["tables.sql", "select 1", "NNNN_name.sql"],
  ["0002_gap.sql", "select 1", "expected number 0001"],
  ["0001_empty.sql", "select 1\n-- next\n", "an empty statement"],
])("refuses %s", (name, text, message) => {
  expect(() => generateMigrations([{ name, text }])).toThrow(message)
})
