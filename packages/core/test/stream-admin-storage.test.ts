import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { describe, expect, test } from "vitest"
import { harness, inTransaction } from "./helpers/harness.ts"
import { freshStream, reading } from "./helpers/recorded.ts"

const { client, pool } = await harness()
const { id } = await client.admin.createStream("damaged")

describe("verify", () => {
  test("finds nothing where streams are in use, were rotated or dropped", async () => {
    const { name } = await freshStream(client)
    await client.stream(name).publish("a", 1)
    await client.admin.dropStream((await freshStream(client)).name, { force: true })
    expect(await client.admin.verify()).toEqual({ ok: true, differences: [] })
  })

  const columns = "its columns are .*"
  test.each<[string, string, ...string[]]>([
    ["a table that is gone", "drop table sluice.event_sN", "table event_sN: missing", "table event_sN_0: missing", "table event_sN_1: missing", "table event_sN_2: missing"],
    ["a segment that is gone", "drop table sluice.event_sN_1", "table event_sN_1: missing"],
    ["a segment that is detached", "alter table sluice.event_sN detach partition sluice.event_sN_2", "table event_sN_2: is no segment of event_sN"],
    ["an index that is gone", "drop index sluice.event_sN_txid", ...["", "_0", "_1", "_2"].map((part) => `index event_sN${part}_txid: missing`)],
    ["an index that is invalid", "update pg_index set indisvalid = false where indrelid = 'sluice.event_sN_1'::regclass", "index event_sN_1_txid: invalid"],
    ["a column more", "alter table sluice.event_sN add column colour text", ...["", "_0", "_1", "_2"].map((part) => `table event_sN${part}: ${columns}, colour text`)],
    ["a column of another type", "alter table sluice.event_sN alter column extra4 type varchar", ...["", "_0", "_1", "_2"].map((part) => `table event_sN${part}: ${columns}extra4 character varying`)],
    ["a default that is gone", "alter table sluice.event_sN_0 alter column txid drop default", `table event_sN_0: ${columns}`],
    ["a column that may be null", "alter table sluice.event_sN alter column type drop not null", ...["", "_0", "_1", "_2"].map((part) => `table event_sN${part}: ${columns}type text, key.*`)],
    ["a counter that is gone", "drop sequence sluice.sent_N", "sequence sent_N: missing"],
    ["options that are gone", "delete from sluice.stream where id = N", "stream damaged: its options are missing"],
    ["segments that are gone", "delete from sluice.stream_segment where stream = N", "stream damaged: its segments are missing"],
  ])("names %s", async (_, damage, ...expected) => {
    const differences = await inTransaction(pool, async (tx) => {
      await tx.query(damage.replaceAll("N", id))
      return (await client.admin.verify({ tx })).differences
    }, { end: "rollback" })
    expect(differences).toEqual(expected.map((line) => expect.stringMatching(`^${line.replaceAll("N", id)}$`)))
  })
})

test.each(["Select", "own_place"])("streams, captures and their readers live in a schema called %s, beside another", async (schema) => {
  const other = createClient(pgDriver(pool), { schema, listen: false, notify: false })
  await other.admin.install()
  await other.admin.createStream("damaged")
  const { news } = await reading(other, "damaged")
  const table = `shared_${schema}`
  await pool.query(`create table ${table} (id bigint primary key)`)
  await other.admin.captureTable(table, { stream: "damaged" })
  const ours = await freshStream(client)
  await client.admin.captureTable(table, { stream: ours.name })
  await pool.query(`insert into ${table} values (1)`)
  await other.stream("damaged").publish("b", 2)
  expect((await news()).map(({ type, data }) => [type, data])).toEqual([[`${table.toLowerCase()}.insert`, { id: "1" }], ["b", 2]])
  expect(await ours.news()).toHaveLength(1)
  expect(await other.admin.verify()).toEqual({ ok: true, differences: [] })
  expect(await other.admin.uninstall({ confirm: schema })).toBe(true)
  await pool.query(`insert into ${table} values (2)`)
  expect(await ours.news()).toHaveLength(1)
})

test("uninstall takes streams with it, and the triggers of captured tables", async () => {
  await pool.query("create table left_behind (id int primary key)")
  await client.admin.captureTable("left_behind", { stream: "damaged" })
  expect(await client.admin.uninstall({ confirm: "sluice" })).toBe(true)
  await pool.query("insert into left_behind values (1)")
  await client.admin.install()
  expect(await client.admin.listStreams()).toEqual([])
})
