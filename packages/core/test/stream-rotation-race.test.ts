import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction, openPool } from "./helpers/harness.ts"
import { type Did, segments } from "./helpers/segments.ts"
import { until } from "./helpers/until.ts"
import { withBroken } from "./helpers/with-broken.ts"

const { client, pool, url } = await harness()
const { freshStream, stored, rotate, turn, settle, publish, drain, table, later } = segments({ client, pool })
beforeEach(() => later(0))

const waiting = async (on: string): Promise<boolean> =>
  (await pool.query("select from pg_locks l join pg_class c on c.oid = l.relation where not l.granted and c.relname = $1", [on.replace("sluice.", "")])).rowCount! > 0

describe("a lock that is refused", () => {
  test.each([
    ["reads", "select from %s_0 limit 1"],
    ["reads as pg_dump does", "lock table %s in access share mode"],
    ["writes", `insert into %s_0 (at, segment, type) values (now(), 0, 'stray')`],
  ])("by a transaction that %s costs nobody more than that, and is tried again", async (_, statement) => {
    const name = await freshStream()
    await client.admin.createSubscription(name, "reader")
    await publish(name, "a")
    await drain(name, "reader")
    expect(await turn(name)).toBe("rotated")
    await inTransaction(pool, async (tx) => {
      await tx.query(statement.replace("%s", await table(name)))
      expect(await client.maintenance().run()).toMatchObject({ refused: 1 })
      expect(await rotate(name)).toBe("refused")
      // Nobody is left waiting behind it.
      expect(await waiting(`${await table(name)}_0`)).toBe(false)
      await publish(name, "b")
      expect(await drain(name, "reader")).toEqual(["b"])
    }, { end: "rollback" })
    expect(await rotate(name)).toBe("truncated")
  })

  test("is asked for 50 ms and no longer, while others queue behind it", async () => {
    const { rows } = await pool.query<{ config: string[] }>("select proconfig as config from pg_proc where proname = 'empty_segment' and pronamespace = 'sluice'::regnamespace")
    expect(rows[0]!.config).toContain("lock_timeout=50ms")
  })
})

/** A writer of the segment that is to be emptied commits while its lock is waited for. */
async function commitMeanwhile(): Promise<{ did: Did; data: unknown[] }> {
  const name = await freshStream()
  await client.admin.createSubscription(name, "reader")
  const leaf = `${await table(name)}_0`
  let step: Promise<Did>
  await inTransaction(pool, async (tx) => {
    await client.stream(name).publish("said", "late", { tx })
    await turn(name)
    step = rotate(name)
    await until(() => waiting(leaf))
  })
  return { did: await step!, data: await drain(name, "reader") }
}

describe("a writer that commits while the lock is waited for", () => {
  // Time enough to meet it.
  const patient = (work: () => Promise<void>) => withBroken(pool, "empty_segment", "50ms", "15s", work)

  test("is seen under the lock", async () => {
    await patient(async () => expect(await commitMeanwhile()).toEqual({ did: "held", data: ["late"] }))
  })

  test("would lose its event without that look", async () => {
    await patient(() =>
      withBroken(pool, "empty_segment", /(end;\s+)v_holders := holders_of\(t\.id, p_segment\);/g, "$1", async () =>
        expect(await commitMeanwhile()).toEqual({ did: "truncated", data: [] })))
  })
})

describe("nobody begins to read where something is just being emptied", () => {
  /** A subscription that begins, or goes back, in a transaction that is still open. */
  async function beside(begin: (name: string) => (tx: any) => Promise<unknown>): Promise<[Did, unknown[]]> {
    const name = await freshStream()
    await client.admin.createSubscription(name, "back")
    await publish(name, "a")
    await drain(name, "back")
    await turn(name)
    const did = await client.transaction(async (tx) => {
      await begin(name)(tx)
      return rotate(name)
    })
    return [did, await drain(name, "back")]
  }

  test("reposition", async () => {
    expect(await beside((name) => (tx) => client.admin.reposition(name, "back", { to: "earliest", tx }))).toEqual(["nothing", ["a"]])
  })

  test("createSubscription", async () => {
    const again = (name: string) => async (tx: any) => {
      await client.admin.dropSubscription(name, "back", { tx })
      await client.admin.createSubscription(name, "back", { from: "earliest", tx })
    }
    expect(await beside(again)).toEqual(["nothing", ["a"]])
  })

  test("which would lose it without their lock", async () => {
    await withBroken(pool, "try_reposition", "perform pg_advisory_xact_lock_shared(lock_space('rotation'), s.stream);", "", async () => {
      expect(await beside((name) => (tx) => client.admin.reposition(name, "back", { to: "earliest", tx }))).toEqual(["truncated", []])
    })
  })
})

test("many processes that maintain at once do not harm each other", async () => {
  const name = await freshStream({ rotationPeriod: "20ms", tickerMaxCount: 5, tickerMaxLag: "20ms" })
  await client.admin.createSubscription(name, "reader")
  const errors: unknown[] = []
  const others = Array.from({ length: 4 }, () => openPool(url, 1))
  const clients = others.map((other) => createClient(pgDriver(other), { listen: false, notify: false }))
  for (const one of clients) one.maintenance({ interval: "10ms", onError: (error) => errors.push(error) }).start()
  const read: unknown[] = []
  const wanted = Array.from({ length: 60 }, (_, n) => `event ${n}`)
  for (const text of wanted) {
    await publish(name, text)
    await Promise.all([rotate(name), rotate(name), rotate(name)])
    read.push(...(await drain(name, "reader")))
  }
  expect(read).toEqual(wanted)
  await until(async () => (await settle(name), (await stored(name)).every((count) => count === 0)), "all is emptied")
  await Promise.all(clients.map((one) => one.close()))
  await Promise.all(others.map((other) => other.end()))
  expect(errors).toEqual([])
  const { rows } = await pool.query<{ generations: number }>("select max(generation)::int as generations from sluice.stream_segment where stream = (select id from sluice.queue where name = $1)", [name])
  expect(rows[0]!.generations).toBeGreaterThan(5)
})

test("the loop of maintenance ticks, rotates and empties by itself, and tells of it", async () => {
  const name = await freshStream({ rotationPeriod: "50ms", tickerMaxCount: 1 })
  await publish(name, "a")
  const told = { ticks: 0, rotated: 0, emptied: 0 }
  const loop = client.maintenance({
    interval: "10ms",
    onReport: ({ ticks, rotated, emptied }) => {
      told.ticks += ticks
      told.rotated += rotated
      told.emptied += emptied
    },
  })
  loop.start()
  await until(async () => (await stored(name)).every((count) => count === 0), "it is emptied")
  await loop.stop()
  expect(told.ticks).toBeGreaterThan(0)
  expect(told.rotated).toBeGreaterThan(0)
  expect(told.emptied).toBeGreaterThan(0)
})

test("a stream that is dropped meanwhile is no error of maintenance", async () => {
  const name = await freshStream()
  await publish(name, "a")
  await later(3 * 3600)
  const { rows } = await pool.query("select sluice.due_streams() as due")
  expect(rows[0].due).toContainEqual({ stream: name, tick: true, rotate: true })
  await client.transaction(async (tx) => {
    await client.admin.dropStream(name, { tx })
    // Passes it by, and waits for nobody.
    expect(await client.maintenance().run()).toMatchObject({ ran: true })
    expect((await pool.query("select sluice.due_streams() as due")).rows[0].due).toEqual([])
  })
  expect(await client.maintenance().run()).toMatchObject({ ran: true, rotated: 0, ticks: 0 })
  expect(await errorOf(pool.query("select sluice.force_tick($1)", [name]))).toMatchObject({ code: "SL013" })
})
