import { describe, expect, test } from "vitest"
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

describe("a search by an array of ids is also written without one, for servers that may not search by it", () => {
  const functions = async (mark: string): Promise<string[]> => {
    const text = `begin\n  -- leaf v_live${mark}\n  delete from message m\n   where m.queue = q.id and m.id = any (v_ids) and m.lease = 1;\n  -- end\nend\n`
    return ((await load([], [{ name: "01_settle.sql", text }])).functions as string[])[0]!.split(/^ {2}else$/m)
  }

  test("by the places of messages that are locked", async () => {
    const [searching, placing] = await functions("")
    expect(searching).toContain("if searches_arrays() then")
    expect(searching!.match(/m\.id = any/g)).toHaveLength(3)
    expect(placing).toMatch(/delete from message_1 m\s+where m\.ctid = any \(array\(.*from message_1 y where y\.queue = q\.id and y\.id = i\.id offset 0\) p\)\)\s+and m\.id = v_ids\[width_bucket\(m\.id, v_ids\)\] and m\.lease = 1;/)
    expect(placing).not.toContain("m.queue")
  })

  test("by one after the other of those that are not", async () => {
    const [searching, looping] = await functions(" each v_ids")
    expect(searching!.match(/m\.id = any/g)).toHaveLength(3)
    expect(looping).toMatch(/for v_i in 1 \.\. cardinality\(v_ids\) loop\s+if v_live = '\{0\}' then\s+delete from message_0 m\s+where m\.queue = q\.id and m\.id = v_ids\[v_i\] and m\.lease = 1;/)
    expect(looping).not.toContain("any (")
  })
})

test.each([
  ["tables.sql", "select 1", "NNNN_name.sql"],
  ["0001_again.sql", "select 1", "0001_a.sql has this number too"],
  ["0002_empty.sql", "select 1\n-- next\n", "an empty statement"],
])("refuses %s", (name, text, message) => {
  expect(() => generateMigrations([{ name: "0001_a.sql", text: "select 1" }, { name, text }], [])).toThrow(message)
})
