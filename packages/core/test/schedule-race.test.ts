import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { type Child, startChild } from "./helpers/child.ts"
import { harness } from "./helpers/harness.ts"
import { setClock } from "./helpers/set-clock.ts"

const { client, pool, url, freshQueue } = await harness()
const { schedules } = client

const children = new Set<Child>()
async function start(where = ""): Promise<Child> {
  const child = startChild("schedule-child.ts", url, where)
  children.add(child)
  await child.next()
  return child
}
async function kill(child: Child): Promise<void> {
  children.delete(child)
  await child.kill()
  // What its connections had open is undone before the next look.
  await expect.poll(async () => (await pool.query("select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'")).rowCount, { timeout: 10_000 }).toBe(0)
}
afterEach(() => Promise.all([...children].map(kill)))

beforeEach(async () => {
  await pool.query("delete from sluice.schedule")
  await pool.query("delete from sluice.message")
  await setClock(pool, "2030-01-01T00:00:00Z")
})

/** Due times of a schedule, and how often each was sent. */
async function sent(schedule: string): Promise<Record<string, number>> {
  const { rows } = await pool.query<{ at: string; count: number }>(
    "select headers->>'scheduledFor' as at, count(*)::int4 as count from sluice.message where headers->>'schedule' = $1 group by 1 order by 1", [schedule])
  return Object.fromEntries(rows.map(({ at, count }) => [at.slice(11, 19), count]))
}
const total = async (): Promise<number> => (await pool.query("select count(*)::int4 as count from sluice.message")).rows[0].count

const clock = (seconds: number): string => new Date(Date.UTC(2030, 0, 1, 0, 0, seconds)).toISOString()
const times = (count: number, every: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [clock((i + 1) * every).slice(11, 19), 1]))

describe("8 processes", () => {
  test("send exactly one message for each due time, of many schedules and every policy", async () => {
    const queue = await freshQueue()
    const names: string[] = []
    for (const missed of ["skip", "once", "all"] as const) {
      for (let i = 0; i < 5; i++) {
        names.push((await schedules.upsert(`${missed}.cron.${i}`, { queue, cron: "*/10 * * * * *", missed })).name)
        names.push((await schedules.upsert(`${missed}.every.${i}`, { queue, every: "10s", missed })).name)
      }
    }
    await Promise.all(Array.from({ length: 8 }, () => start()))
    for (let due = 1; due <= 6; due++) {
      await setClock(pool, clock(due * 10))
      await expect.poll(total, { timeout: 15_000, interval: 20 }).toBeGreaterThanOrEqual(due * names.length)
    }
    await Promise.all([...children].map(kill))
    await client.maintenance().run()
    for (const name of names) expect(await sent(name), name).toEqual(times(6, 10))
  }, 60_000)

  test("of which some are killed all the time lose and double nothing of what is made up for", async () => {
    const queue = await freshQueue()
    const names = ["a", "b", "c", "d"]
    for (const name of names) await schedules.upsert(name, { queue, every: "1s", missed: "all" })
    const running = await Promise.all(Array.from({ length: 8 }, () => start()))
    const starting: Promise<Child>[] = []
    for (let round = 1; round <= 5; round++) {
      await setClock(pool, clock(round * 250))
      const more = (round - 1) * 250 * names.length + 150
      await expect.poll(total, { timeout: 15_000, interval: 5 }).toBeGreaterThan(more)
      // In the middle of catching up.
      await kill(running.shift()!)
      starting.push(start())
    }
    await Promise.all(starting)
    await Promise.all([...children].map(kill))
    await client.maintenance().run()
    for (const name of names) expect(await sent(name), name).toEqual(times(1250, 1))
  }, 60_000)
})

describe("a process killed by SIGKILL", () => {
  test.each(["before", "inside", "after"])("%s the statement that sends and advances: the run is sent once all the same", async (where) => {
    const queue = await freshQueue()
    await schedules.upsert("s", { queue, every: "1h" })
    await setClock(pool, clock(3600))
    const child = await start(where)
    expect(await child.next()).toBe(where)
    expect(await total(), "as others see it").toBe(where === "after" ? 1 : 0)
    const { fired } = await client.maintenance().run()
    expect(fired, "while that process lives").toBe(where === "before" ? 1 : 0)
    await kill(child)
    expect(await client.maintenance().run()).toMatchObject({ fired: where === "inside" ? 1 : 0, misfired: 0 })
    expect(await sent("s")).toEqual({ "01:00:00": 1 })
    await setClock(pool, clock(7200))
    await client.maintenance().run()
    expect(await sent("s")).toEqual({ "01:00:00": 1, "02:00:00": 1 })
  })
})

describe("AsyncMQ sends a run and then advances the schedule, in two statements: a crash between them sends it twice", () => {
  /** Stops whoever advances the schedule, after the message was inserted, until the lock is given back. */
  async function stopBeforeAdvance(): Promise<() => Promise<void>> {
    const holder = await pool.connect()
    await holder.query("select pg_advisory_lock(77)")
    await pool.query(`create or replace function public.stop_advance() returns trigger language plpgsql as $$ begin
      perform pg_advisory_xact_lock_shared(77); return new; end $$`)
    await pool.query("create trigger stop_advance before update on sluice.schedule for each row execute function public.stop_advance()")
    return async () => {
      await holder.query("select pg_advisory_unlock(77)")
      holder.release()
      await pool.query("drop function public.stop_advance cascade")
    }
  }

  /** The connection that waits there. */
  const waiting = async (): Promise<number | undefined> =>
    (await pool.query<{ pid: number }>("select pid from pg_stat_activity where datname = current_database() and wait_event = 'advisory' and query like '%fire_schedule%'")).rows[0]?.pid

  test.each([["its connection dies", "connection"], ["its process is killed, and the server finishes what it was at", "process"]])("here, between the two, %s: it is sent once", async (_, what) => {
    const queue = await freshQueue()
    await schedules.upsert("s", { queue, every: "1h" })
    await setClock(pool, clock(3600))
    const go = await stopBeforeAdvance()
    const child = await start()
    await expect.poll(waiting, { timeout: 10_000 }).toBeTypeOf("number")
    if (what === "connection") {
      const pid = await waiting()
      children.delete(child)
      await Promise.all([child.kill(), pool.query("select pg_terminate_backend($1)", [pid])])
      await expect.poll(waiting, { timeout: 10_000 }).toBeUndefined()
      expect(await sent("s"), "undone").toEqual({})
    } else {
      children.delete(child)
      await child.kill()
      expect(await client.maintenance().run(), "somebody is at it").toMatchObject({ fired: 0 })
    }
    await go()
    await expect.poll(waiting, { timeout: 10_000 }).toBeUndefined()
    await client.maintenance().run()
    expect(await sent("s")).toEqual({ "01:00:00": 1 })
    expect(await client.maintenance().run()).toMatchObject({ fired: 0 })
  })
})
