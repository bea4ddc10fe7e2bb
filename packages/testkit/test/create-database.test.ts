import pg from "pg"
import { expect, inject, test } from "vitest"
import { createDatabase } from "@sluice/testkit"
import { databasePerFile } from "@sluice/testkit/vitest"

const own = await databasePerFile()

test("a file's database is named after the file", () => {
  expect(own.name).toMatch(/^sluice_create_database_[0-9a-f]{8}$/)
})

test("gives an empty database from any label, and drops it under its users", async () => {
  const database = await createDatabase(inject("serverUrl"), `Ünïcode "label" ${"long ".repeat(30)}`)
  const client = new pg.Client({ connectionString: database.url }).on("error", () => {})
  await client.connect()
  const tables = "(select count(*)::int from pg_stat_user_tables)"
  const { rows } = await client.query(`select current_database() as name, ${tables} as tables`)
  expect(rows).toEqual([{ name: database.name, tables: 0 }])
  await database.drop()
  await database.drop()
  await expect(client.query("select 1")).rejects.toThrow()
})
