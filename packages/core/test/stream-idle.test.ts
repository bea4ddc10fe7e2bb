import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { beforeEach, describe, expect, test } from "vitest"
import { countingDriver } from "./helpers/counting-driver.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { segments } from "./helpers/segments.ts"

const { client, pool } = await harness()
const { freshStream, publish, drain, later, settle } = segments({ client, pool })
beforeEach(() => later(0))

/** A stream that had events, all of which are done with, ticked and gone. */
async function idle(): Promise<string> {
  const name = await freshStream()
  await client.admin.createSubscription(name, "reader")
  await publish(name, "a")
  await drain(name, "reader")
  for (let round = 0; round < 4; round++) {
    await later(3 * 3600)
    await client.maintenance().run()
    await settle(name)
  }
  return name
}

/** Records of WAL that a statement writes, and whether its transaction got an id. */
async function cost(text: string, values: unknown[]): Promise<{ records: number; id: string | null }> {
  return inTransaction(pool, async (tx) => {
    // The first look at pages may tidy them up, which is written too.
    await tx.query("savepoint first")
    await tx.query(text, values)
    await tx.query("rollback to savepoint first")
    const { rows } = await tx.query(`explain (analyze, wal, costs off, timing off, format json) ${text}`, values)
    const { rows: [row] } = await tx.query("select pg_current_xact_id_if_assigned()::text as id")
    return { records: rows[0]["QUERY PLAN"][0].Plan["WAL Records"], id: row.id }
  }, { end: "rollback" })
}
const nothing = { records: 0, id: null }
const ask = "select * from sluice.try_next_batch($1, 'reader', 'me', $2, null, 1000, 1, null, null, false, 1000)"

describe("a stream with nothing new", () => {
  test("is asked for a batch, and nothing is written", async () => {
    const name = await idle()
    for (const shared of [false, true]) expect(await cost(ask, [name, shared])).toEqual(nothing)
    await publish(name, "b")
    const busy = await cost(ask, [name, false])
    expect(busy.records).toBeGreaterThan(0)
    expect(busy.id).not.toBeNull()
    await drain(name, "reader")
    await later(3 * 3600)
    await settle(name)
  })

  test("is looked at by maintenance, and nothing is written", async () => {
    const name = await idle()
    expect(await cost("select sluice.due_streams()", [])).toEqual(nothing)
    expect(await cost("select * from sluice.check_lags()", [])).toEqual(nothing)
    await later(36_000)
    expect((await pool.query("select sluice.due_streams() as due")).rows[0].due).toEqual([])
    await publish(name, "b")
    await later(4)
    expect((await pool.query("select sluice.due_streams() as due")).rows[0].due).toEqual([{ stream: name, tick: true, rotate: true }])
    await drain(name, "reader")
    await settle(name)
  })

  test("costs maintenance no statement of its own", async () => {
    await idle()
    const before = countingDriver(pgDriver(pool))
    await createClient(before.driver, { listen: false, notify: false }).maintenance().run()
    expect([...before.counts.keys()].filter((name) => /tick|rotate/.test(name))).toEqual([])
    const name = await freshStream()
    await publish(name, "a")
    await later(4)
    const after = countingDriver(pgDriver(pool))
    await createClient(after.driver, { listen: false, notify: false }).maintenance().run()
    expect(Object.fromEntries(after.counts)).toEqual({ ...Object.fromEntries(before.counts), tick_due: 1 })
  })

  test("leaves no rows", async () => {
    const name = await idle()
    const rows = async (): Promise<unknown> => (await pool.query("select (select count(*) from sluice.tick)::int as ticks, (select count(*) from sluice.batch)::int as batches, (select count(*) from sluice.stream_segment)::int as segments")).rows[0]
    const before = await rows()
    for (let round = 0; round < 20; round++) {
      await later(3600)
      await client.maintenance().run()
      expect(await drain(name, "reader")).toEqual([])
    }
    expect(await rows()).toEqual(before)
  })
})
