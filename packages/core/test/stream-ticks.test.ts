import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { segments } from "./helpers/segments.ts"
import { until } from "./helpers/until.ts"
import { withBroken } from "./helpers/with-broken.ts"

const { client, pool } = await harness()
const { freshStream, publish, drain, later, next } = segments({ client, pool })
beforeEach(() => later(0))

const many = (count: number): string[] => Array.from({ length: count }, (_, n) => `event ${n}`)
/** What maintenance does; the id of the tick, or null where none is due. */
async function ticked(name: string): Promise<string | null> {
  const { rows } = await pool.query<{ tick: string | null }>("select tick from sluice.try_tick($1, false, null, null)", [name])
  return rows[0]!.tick
}

describe("PgQ's parameters", () => {
  test("tickerMaxCount: after so many events, at once", async () => {
    const name = await freshStream({ tickerMaxCount: 5, tickerMaxLag: "1h" })
    await publish(name, ...many(4))
    expect(await ticked(name)).toBeNull()
    await publish(name, "one more")
    expect(await ticked(name)).toBe("2")
    expect(await ticked(name)).toBeNull()
  })

  test("tickerMaxLag: after so long with an event", async () => {
    const name = await freshStream({ tickerMaxLag: "10s" })
    await publish(name, "a")
    await later(9)
    expect(await ticked(name)).toBeNull()
    await later(1)
    expect(await ticked(name)).toBe("2")
  })

  test("tickerIdlePeriod: one last tick, so late at the latest", async () => {
    const name = await freshStream({ tickerMaxLag: "10s", tickerIdlePeriod: "1m" })
    await later(600)
    expect(await ticked(name), "of a stream that nobody ever published to").toBeNull()
    await publish(name, "a")
    await later(1)
    expect(await ticked(name)).toBe("2")
    await later(59)
    expect(await ticked(name)).toBeNull()
    await later(1)
    expect(await ticked(name)).toBe("3")
    await later(36_000)
    expect(await ticked(name)).toBeNull()
  })

  test("tickerPaused: only forced ones", async () => {
    const name = await freshStream({ tickerMaxCount: 1, tickerPaused: true })
    await publish(name, "a")
    await later(60)
    expect(await ticked(name)).toBeNull()
    expect(await client.admin.forceTick(name)).toBe("2")
    await client.admin.updateStream(name, { tickerPaused: false })
    await publish(name, "b")
    expect(await ticked(name)).toBe("3")
  })

  test("forceTick ticks regardless of thresholds, with nothing new too", async () => {
    const name = await freshStream({ tickerMaxCount: 1000, tickerMaxLag: "1h" })
    expect(await client.admin.forceTick(name)).toBe("2")
    await publish(name, "a")
    expect(await client.admin.forceTick(name)).toBe("3")
    expect(await ticked(name)).toBeNull()
  })

  test("externalTicker: ids and times from elsewhere, upwards only", async () => {
    const name = await freshStream({ tickerMaxCount: 1, externalTicker: true })
    await publish(name, "a")
    await later(60)
    expect(await ticked(name)).toBeNull()
    expect(await errorOf(client.admin.forceTick(name))).toMatchObject({ name: "InvalidOptionError" })
    const at = new Date("2031-02-03T04:05:06Z")
    expect(await client.admin.externalTick(name, { id: "1000", at })).toBe("1000")
    for (const id of ["1000", "999"]) expect(await client.admin.externalTick(name, { id })).toBeNull()
    expect(await client.admin.externalTick(name, { id: "5000" })).toBe("5000")
    const { rows } = await pool.query("select at from sluice.tick where id = 1000")
    expect(rows).toEqual([{ at }])
    expect(await errorOf(client.admin.externalTick(await freshStream(), { id: "9" }))).toMatchObject({ name: "InvalidOptionError" })
  })
})

describe("order", () => {
  /** A tick that waits for the lock while another one, of a transaction with an event, commits. */
  async function overtaken(): Promise<{ ordered: boolean; data: unknown[] }> {
    const name = await freshStream()
    await client.admin.createSubscription(name, "reader")
    let late: Promise<string>
    await inTransaction(pool, async (tx) => {
      await tx.query("select sluice.force_tick($1)", [name])
      late = client.admin.forceTick(name)
      await until(async () => (await pool.query("select from pg_locks where not granted and locktype = 'advisory'")).rowCount! > 0)
      await publish(name, "a")
      // Later than the one who waits, and before it.
    })
    await late!
    await publish(name, "b")
    const { rows } = await pool.query<{ ordered: boolean }>(
      "select bool_and(seen @> before) as ordered from (select seen, lag(seen) over (order by id) as before from sluice.tick where stream = (select id from sluice.queue where name = $1)) t", [name])
    const seen = await pool.query<{ has: boolean }>(
      `select (select txid from sluice.event_s${(await client.admin.getStream(name)).id} where data = '"a"') <@ seen as has from sluice.tick where stream = (select id from sluice.queue where name = $1) order by id desc limit 1`, [name])
    return { ordered: rows[0]!.ordered && seen.rows[0]!.has, data: await drain(name, "reader", 1) }
  }

  test("a tick sees what the one before it saw, and what was committed while it waited", async () => {
    expect(await overtaken()).toEqual({ ordered: true, data: ["a", "b"] })
  })

  test("one with a stale snapshot would not, and even then nothing comes twice", async () => {
    const stale = /v_sent bigint := published\(p_stream\);([^]*)seen_now\(\), coalesce/g
    await withBroken(pool, "make_tick", stale, "v_sent bigint := published(p_stream); v_seen int8multirange := seen_now();$1v_seen, coalesce", async () => {
      expect(await overtaken()).toEqual({ ordered: false, data: ["a", "b"] })
    })
  })

  test("a tick needs READ COMMITTED", async () => {
    const name = await freshStream()
    await inTransaction(pool, async (tx) => {
      expect(await errorOf(tx.query("select sluice.force_tick($1)", [name]))).toMatchObject({ code: "SL005" })
    }, { begin: "begin isolation level repeatable read", end: "rollback" })
  })
})

test("who lags behind comes in large steps, not tick by tick", async () => {
  const name = await freshStream()
  await client.admin.createSubscription(name, "reader")
  for (let tick = 0; tick < 100; tick++) {
    await publish(name, ...many(10))
    await client.admin.forceTick(name)
  }
  const counts: number[] = []
  for (let batch = await next(name, "reader", 300); batch !== null; batch = await next(name, "reader", 300)) {
    counts.push(batch.count)
    await batch.finish()
  }
  expect(counts).toEqual([300, 300, 300, 100])
})

test("empty ticks are passed over", async () => {
  const name = await freshStream()
  await client.admin.createSubscription(name, "reader")
  for (let tick = 0; tick < 30; tick++) {
    await inTransaction(pool, (tx) => client.stream(name).publishBatch(many(10).map((data) => ({ type: "said", data })), { tx }), { end: "rollback" })
    await client.admin.forceTick(name)
  }
  await publish(name, "a")
  expect(await drain(name, "reader", 5)).toEqual(["a"])
})
