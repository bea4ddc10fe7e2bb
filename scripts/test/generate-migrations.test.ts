import { expect, test } from "vitest"
import { generateMigrations, type SqlSource } from "../generate-migrations.ts"

async function load(sources: SqlSource[], functions: SqlSource[] = []): Promise<{ migrations: unknown; functions: unknown }> {
  const { stripTypeScriptTypes } = await import("node:module")
  const code = stripTypeScriptTypes(generateMigrations(sources, functions))
  return import(`data:text/javascript,${encodeURIComponent(code)}`)
}

test("splits at lines that say next, in the order of the numbers, and keeps every character", async () => {
  const second = "-- breaking\nselect '`${x}\\n' -- not the next\n-- next\nselect 2;\n"
  const sources = [
    { name: "0003_more.sql", text: second },
    { name: "0001_tables.sql", text: "create table t ()\n" },
  ]
  expect((await load(sources)).migrations).toEqual([
    { version: 1, name: "tables", breaking: false, statements: ["create table t ()"] },
    { version: 3, name: "more", breaking: true, statements: ["select '`${x}\\n' -- not the next", "select 2;"] },
  ])
})

test("a statement marked as one of a leaf becomes three: of either leaf, and of both", async () => {
  const text = "begin\n  -- leaf v_live\n  return (select max(m.id) from message m, message_id);\n  -- end\nend\n"
  const over = (table: string) => `    return (select max(m.id) from ${table} m, message_id);`
  expect((await load([], [{ name: "01_max.sql", text }])).functions).toEqual([
    ["begin", "  if v_live = '{0}' then", over("message_0"), "  elsif v_live = '{1}' then", over("message_1"), "  else", over("message"), "  end if;", "end"].join("\n"),
  ])
})

test.each([
  ["tables.sql", "select 1", "NNNN_name.sql"],
  ["0001_again.sql", "select 1", "0001_a.sql has this number too"],
  ["0002_empty.sql", "select 1\n-- next\n", "an empty statement"],
])("refuses %s", (name, text, message) => {
  expect(() => generateMigrations([{ name: "0001_a.sql", text: "select 1" }, { name, text }], [])).toThrow(message)
})
