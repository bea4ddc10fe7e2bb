import { createClient, QueueInUseError, QueueNotFoundError, ScheduleNotFoundError, type ScheduleOptions } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction, openPool } from "./helpers/harness.ts"
import { setClock } from "./helpers/set-clock.ts"

const { client, pool, url, freshQueue } = await harness()
const { schedules, admin } = client
const START = "2030-01-01T00:00:00.000Z"
const at = (time: string): Date => new Date(time)
let made = 0
const freshName = (): string => `schedule.${++made}`
const hourly = async (more: object = {}): Promise<ScheduleOptions> => ({ queue: await freshQueue(), cron: "0 * * * *", ...more }) as ScheduleOptions

beforeEach(async () => {
  await pool.query("delete from sluice.schedule")
  await setClock(pool, START)
})

describe("upsert", () => {
  test("makes a schedule with the documented defaults, and gives what get and list give", async () => {
    const queue = await freshQueue()
    const name = freshName()
    const info = await schedules.upsert(name, { queue, cron: " 0 * * * * " })
    expect(info).toEqual({
      name, queue, cron: "0 * * * *", timezone: "UTC", every: null, start: null, end: null, missed: "skip", payload: null, headers: {},
      priority: null, paused: false, createdAt: at(START), nextAt: at("2030-01-01T01:00Z"), lastAt: null, error: null,
    })
    expect(await schedules.get(name)).toEqual(info)
    expect((await schedules.list({ prefix: name })).items).toEqual([info])
  })

  test("keeps every option", async () => {
    const queue = await freshQueue()
    const options = { queue, every: "90s", start: at("2030-02-01T00:00:00.123Z"), end: at("2031-01-01"), missed: "all", payload: { a: ["é", null] }, headers: { h: 1 }, priority: 3 } as const
    const info = await schedules.upsert(freshName(), options)
    expect(info).toMatchObject({ ...options, cron: null, timezone: null, nextAt: options.start })
    expect(await schedules.get(info.name)).toEqual(info)
  })

  test("that says the same again changes nothing and writes nothing, also when a run is due", async () => {
    const name = freshName()
    const options = await hourly({ payload: { a: 1 }, headers: { h: 1 }, end: at("2040-01-01") })
    const first = await schedules.upsert(name, options)
    const row = async () => (await pool.query("select xmin::text, * from sluice.schedule where name = $1", [name])).rows
    const before = await row()
    await setClock(pool, "2030-01-01T07:30:00Z")
    expect(await schedules.upsert(name, options)).toEqual(first)
    expect(await row()).toEqual(before)
  })

  test.each<[what: string, change: object, nextAt: string]>([
    ["a payload keeps the next run", { payload: 2 }, "2030-01-01T01:00Z"],
    ["headers keep it", { headers: { h: 2 } }, "2030-01-01T01:00Z"],
    ["a priority keeps it", { priority: 2 }, "2030-01-01T01:00Z"],
    ["what to do about missed runs keeps it", { missed: "all" }, "2030-01-01T01:00Z"],
    ["another pattern moves it", { cron: "15 * * * *" }, "2030-01-01T02:15Z"],
    ["another zone moves it", { timezone: "Asia/Kolkata" }, "2030-01-01T02:30Z"],
    ["a start moves it", { start: at("2030-01-01T05:00Z") }, "2030-01-01T05:00Z"],
    ["an end plans it anew", { end: at("2030-01-02") }, "2030-01-01T03:00Z"],
    ["an interval moves it, counted from now", { cron: undefined, every: "10m" }, "2030-01-01T02:10Z"],
  ])("that changes %s", async (_, change, nextAt) => {
    const name = freshName()
    const options = await hourly()
    const { createdAt } = await schedules.upsert(name, options)
    await setClock(pool, "2030-01-01T02:00:00Z")
    const changed = await schedules.upsert(name, JSON.parse(JSON.stringify({ ...options, ...change }), (key, value) => (key === "start" || key === "end" ? at(value) : value)))
    expect(changed).toMatchObject({ nextAt: at(nextAt), createdAt })
    const { cron = null, ...rest } = change as { cron?: string }
    expect(changed).toMatchObject("cron" in change ? { ...rest, cron } : rest)
    expect(await schedules.get(name)).toEqual(changed)
  })

  test("that moves a schedule to another queue keeps its next run", async () => {
    const name = freshName()
    const options = await hourly()
    await schedules.upsert(name, options)
    await setClock(pool, "2030-01-01T02:00:00Z")
    const other = await freshQueue()
    expect(await schedules.upsert(name, { ...options, queue: other })).toMatchObject({ queue: other, nextAt: at("2030-01-01T01:00Z") })
  })

  test("of an interval counts from when it was made, whatever else changes later", async () => {
    const name = freshName()
    const queue = await freshQueue()
    await schedules.upsert(name, { queue, every: "1h" })
    await setClock(pool, "2030-01-01T02:20:00Z")
    expect(await schedules.upsert(name, { queue, every: "1h", end: at("2031-01-01"), payload: 1 })).toMatchObject({ nextAt: at("2030-01-01T03:00Z") })
    expect(await schedules.upsert(name, { queue, every: "2h" })).toMatchObject({ nextAt: at("2030-01-01T04:20Z") })
  })

  test("leaves out what is left out: an upsert is the whole schedule", async () => {
    const name = freshName()
    const options = await hourly({ payload: 1, headers: { h: 1 }, priority: 2, missed: "all", timezone: "Europe/Berlin", end: at("2040-01-01") })
    await schedules.upsert(name, options)
    expect(await schedules.upsert(name, { queue: options.queue, cron: "0 * * * *" })).toMatchObject({
      payload: null, headers: {}, priority: null, missed: "skip", timezone: "UTC", end: null,
    })
  })

  test("takes an end that is past: there is no next run", async () => {
    expect(await schedules.upsert(freshName(), await hourly({ end: at("2029-01-01") }))).toMatchObject({ nextAt: null, paused: false })
  })

  test("by 8 at once makes one schedule, with one next run", async () => {
    for (let i = 0; i < 10; i++) {
      const name = freshName()
      const options = await hourly()
      const infos = await Promise.all(Array.from({ length: 8 }, () => schedules.upsert(name, { ...options, every: "10s", cron: undefined } as never)))
      expect(new Set(infos.map((info) => JSON.stringify(info))).size).toBe(1)
    }
  })

  test("refuses a plan that a run has overtaken, and asks for another: no due time is sent twice", async () => {
    const name = freshName()
    const options = await hourly()
    await schedules.upsert(name, options)
    await setClock(pool, "2030-01-01T01:00:00Z")
    await client.maintenance().run()
    const spec = JSON.stringify({ ...options, cron: "*/30 * * * *", timezone: "UTC", missed: "skip", payload: null })
    const [early, late] = [Date.parse("2030-01-01T00:59:59Z"), Date.parse("2030-01-01T01:00:00Z")]
    const answer = async (from: number, next: number) =>
      (await pool.query("select info, plan from sluice.try_upsert_schedule($1, $2, $3, $4)", [name, spec, from, next])).rows[0]
    expect(await answer(early, late)).toMatchObject({ info: null, plan: { cron: "*/30 * * * *", from: late } })
    expect(await answer(late, late + 1_800_000)).toMatchObject({ info: { nextAt: late + 1_800_000 }, plan: null })
    await schedules.pause(name)
    const resume = async (from: number, next: number) => (await pool.query("select info, plan from sluice.try_resume_schedule($1, $2, $3)", [name, from, next])).rows[0]
    expect(await resume(early, late)).toMatchObject({ info: null, plan: { from: late } })
    expect(await resume(late, late + 1_800_000)).toMatchObject({ info: { paused: false }, plan: null })
  })

  test("that waits for another to make the schedule keeps the next run of that one, whose first may be sent", async () => {
    const name = freshName()
    const options = { queue: await freshQueue(), every: 3_600_000 }
    const [from, next] = [Date.parse(START), Date.parse(START) + 3_600_000]
    const spec = JSON.stringify({ ...options, missed: "skip", payload: null })
    const upsert = "select info from sluice.try_upsert_schedule($1, $2, $3, $4)"
    let second!: Promise<{ rows: { info: { nextAt: number } }[] }>
    await inTransaction(pool, async (tx) => {
      await tx.query(upsert, [name, spec, from, next])
      await setClock(pool, "2030-01-01T01:00:00Z")
      const { rows } = await tx.query("select sluice.fire_schedule($1, $2::float8, array[$2::float8], $3, null) as answer", [name, next, next + 3_600_000])
      expect(rows[0].answer).toMatchObject({ did: "fired" })
      second = pool.query(upsert, [name, spec, from, next])
      const waits = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
      await expect.poll(async () => (await pool.query(waits)).rowCount, { timeout: 10_000 }).toBe(1)
    })
    expect((await second).rows[0]!.info.nextAt).toBe(next + 3_600_000)
  })

  test("takes one round trip where nothing changes, and two where a run has to be planned", async () => {
    let statements = 0
    const driver = pgDriver(pool)
    const counting = createClient({ ...driver, query: (...args: Parameters<typeof driver.query>) => (statements++, driver.query(...args)) } as typeof driver, { listen: false, notify: false })
    const options = await hourly()
    const name = freshName()
    for (const [change, expected] of [[{}, 2], [{}, 1], [{ payload: 1 }, 1], [{ cron: "1 * * * *" }, 2], [{ cron: "1 * * * *" }, 1]] as const) {
      statements = 0
      await counting.schedules.upsert(name, { ...options, ...change } as ScheduleOptions)
      expect(statements).toBe(expected)
    }
  })

  test("refuses what only the database knows, by a typed error", async () => {
    const queue = await freshQueue({ levels: 2 })
    expect(await errorOf(schedules.upsert("s", { queue: "not.there", cron: "@daily" }))).toMatchObject({ code: "queue_not_found", queue: "not.there" })
    expect(await errorOf(schedules.upsert("s", { queue, cron: "@daily", priority: 2 }))).toMatchObject({ code: "invalid_option", field: "priority" })
    await pool.query("insert into sluice.queue (name, kind, created_at) values ('a.stream', 'stream', now())")
    expect(await errorOf(schedules.upsert("s", { queue: "a.stream", cron: "@daily" }))).toMatchObject({ code: "wrong_kind", expected: "work", actual: "stream" })
    expect(await errorOf(schedules.get("s"))).toBeInstanceOf(ScheduleNotFoundError)
  })
})

describe("pause and resume", () => {
  test("stop the runs, and go on with the first from then", async () => {
    const name = freshName()
    const { queue } = await schedules.upsert(name, await hourly({ missed: "all" }))
    expect(await schedules.pause(name)).toMatchObject({ paused: true, nextAt: null })
    await setClock(pool, "2030-01-01T05:30:00Z")
    expect(await client.maintenance().run()).toMatchObject({ fired: 0 })
    expect(await schedules.resume(name)).toMatchObject({ paused: false, nextAt: at("2030-01-01T06:00Z") })
    expect(await client.maintenance().run()).toMatchObject({ fired: 0 })
    expect(await admin.metrics(queue)).toMatchObject({ length: 0 })
  })

  test("twice are once", async () => {
    const name = freshName()
    const before = await schedules.upsert(name, await hourly())
    const paused = await schedules.pause(name)
    expect(await schedules.pause(name)).toEqual(paused)
    expect(await schedules.resume(name)).toEqual(before)
    await setClock(pool, "2030-01-01T05:30:00Z")
    expect(await schedules.resume(name), "what is due stays due").toEqual(before)
  })

  test("what is paused stays so whatever an upsert changes, and is planned by it afterwards", async () => {
    const name = freshName()
    const options = await hourly()
    await schedules.upsert(name, options)
    await schedules.pause(name)
    expect(await schedules.upsert(name, options)).toMatchObject({ paused: true, nextAt: null })
    expect(await schedules.upsert(name, { ...options, cron: "15 * * * *", payload: 1 } as ScheduleOptions)).toMatchObject({ paused: true, nextAt: null, payload: 1 })
    expect(await schedules.resume(name)).toMatchObject({ paused: false, nextAt: at("2030-01-01T00:15Z") })
  })

  test("resumed after its end, a schedule has no next run", async () => {
    const name = freshName()
    await schedules.upsert(name, await hourly({ end: at("2030-01-02") }))
    await schedules.pause(name)
    await setClock(pool, "2030-01-03T00:00:00Z")
    expect(await schedules.resume(name)).toMatchObject({ paused: false, nextAt: null })
  })
})

describe("list", () => {
  test("pages in order of name, narrowed by a prefix", async () => {
    const queue = await freshQueue()
    const names = ["page.a", "page.b", "page.c", "pageless"]
    for (const name of [...names].reverse()) await schedules.upsert(name, { queue, cron: "@daily" })
    const first = await schedules.list({ prefix: "page.", limit: 2 })
    expect(first).toMatchObject({ items: [{ name: "page.a" }, { name: "page.b" }], next: "page.b" })
    expect(await schedules.list({ prefix: "page.", limit: 2, after: first.next })).toMatchObject({ items: [{ name: "page.c" }], next: null })
    const all = (await schedules.list({ limit: 1000 })).items.map(({ name }) => name)
    expect(all).toEqual([...all].sort())
    expect(all).toEqual(expect.arrayContaining(names))
  })
})

describe("runNow", () => {
  test("sends its message at once, and leaves the next run where it is; a paused one too", async () => {
    const name = freshName()
    const info = await schedules.upsert(name, await hourly({ payload: { a: 1 }, headers: { h: 1 }, priority: 2 }))
    await setClock(pool, "2030-01-01T00:00:07.089Z")
    const id = await schedules.runNow(name)
    expect(await client.queue(info.queue).read()).toMatchObject({ id, payload: { a: 1 }, priority: 2, headers: { h: 1, schedule: name, scheduledFor: "2030-01-01T00:00:07.089Z" } })
    expect(await schedules.get(name)).toEqual(info)
    await schedules.pause(name)
    await schedules.runNow(name)
    expect(await admin.metrics(info.queue)).toMatchObject({ length: 2 })
  })

  test("wakes a reader, which does not poll before", async () => {
    const name = freshName()
    const { queue } = await schedules.upsert(name, await hourly())
    const read = client.queue(queue).readWithPoll({ wait: "60s", interval: "59s" })
    await schedules.runNow(name)
    expect(await read).toHaveLength(1)
  })
})

describe("preview", () => {
  test("gives the runs of a stored schedule from the server's now on, or another time, paused or not", async () => {
    const name = freshName()
    const queue = await freshQueue()
    await schedules.upsert(name, { queue, every: "1h", end: at("2030-01-02") })
    await schedules.pause(name)
    await setClock(pool, "2030-01-01T05:30:00Z")
    expect(await schedules.preview(name, { count: 2 })).toEqual([at("2030-01-01T06:00Z"), at("2030-01-01T07:00Z")])
    expect(await schedules.preview(name, { from: at("2030-01-01T22:00Z") })).toEqual([at("2030-01-01T23:00Z")])
  })
})

describe("remove", () => {
  test("says whether there was one, and leaves its messages", async () => {
    const name = freshName()
    const { queue } = await schedules.upsert(name, await hourly())
    await schedules.runNow(name)
    expect(await schedules.remove(name)).toBe(true)
    expect(await schedules.remove(name)).toBe(false)
    expect(await admin.metrics(queue)).toMatchObject({ length: 1 })
  })
})

describe("what does not exist", () => {
  test.each(["get", "pause", "resume", "runNow", "preview"] as const)("%s gives ScheduleNotFoundError, and the transaction goes on", async (method) => {
    await inTransaction(pool, async (tx) => {
      const error = await errorOf(schedules[method]("never.was", { tx }))
      expect(error).toBeInstanceOf(ScheduleNotFoundError)
      expect(error).toMatchObject({ code: "schedule_not_found", schedule: "never.was" })
      expect(error.message).toContain("never.was")
      await tx.query("select 1")
    })
  })
})

describe("in a caller's transaction", () => {
  test("everything commits with it, or never was", async () => {
    for (const end of ["rollback", "commit"] as const) {
      const [kept, gone, name] = [freshName(), freshName(), freshName()]
      const options = await hourly()
      await schedules.upsert(kept, options)
      await schedules.upsert(gone, options)
      await inTransaction(pool, async (tx) => {
        await schedules.upsert(name, options, { tx })
        expect(await schedules.preview(name, { tx, count: 1 })).toEqual([at("2030-01-01T01:00Z")])
        await schedules.pause(kept, { tx })
        await schedules.remove(gone, { tx })
        await schedules.runNow(name, { tx })
        expect((await schedules.list({ tx, prefix: name })).items).toHaveLength(1)
      }, { end })
      const committed = end === "commit"
      expect((await schedules.list({ prefix: name })).items).toHaveLength(committed ? 1 : 0)
      expect(await schedules.get(kept)).toMatchObject({ paused: committed })
      expect(await schedules.remove(gone)).toBe(!committed)
      expect(await admin.metrics(options.queue)).toMatchObject({ length: committed ? 1 : 0 })
    }
  })

  test("a refusal leaves it usable", async () => {
    const queue = await freshQueue()
    await inTransaction(pool, async (tx) => {
      expect(await errorOf(schedules.upsert("s", { queue: "not.there", cron: "@daily" }, { tx }))).toBeInstanceOf(QueueNotFoundError)
      await client.queue(queue).send("goes on", { tx })
    })
    expect(await admin.metrics(queue)).toMatchObject({ length: 1 })
  })

  test("they work at every isolation level", async () => {
    for (const level of ["repeatable read", "serializable"]) {
      const name = freshName()
      const options = await hourly()
      await inTransaction(pool, async (tx) => {
        await schedules.upsert(name, options, { tx })
        await schedules.pause(name, { tx })
        await schedules.resume(name, { tx })
        await schedules.runNow(name, { tx })
      }, { begin: `begin isolation level ${level}` })
      expect(await schedules.get(name)).toMatchObject({ nextAt: at("2030-01-01T01:00Z") })
    }
  })
})

describe("a dropped queue", () => {
  test("is refused as in use while schedules send to it, and takes them along by force", async () => {
    const [a, b] = [freshName(), freshName()].sort() as [string, string]
    const options = await hourly()
    await schedules.upsert(b, options)
    await schedules.upsert(a, options)
    const error = await errorOf<QueueInUseError>(admin.dropQueue(options.queue))
    expect(error).toBeInstanceOf(QueueInUseError)
    expect(error).toMatchObject({ queue: options.queue, inFlight: 0, deadLetterOf: [], schedules: [a, b] })
    expect(error.message).toContain(`schedules send to it: ${a}, ${b}`)
    await schedules.remove(a)
    expect(await errorOf(admin.dropQueue(options.queue))).toMatchObject({ schedules: [b] })
    expect(await admin.dropQueue(options.queue, { force: true })).toBe(true)
    expect(await errorOf(schedules.get(b))).toBeInstanceOf(ScheduleNotFoundError)
  })

  test("and an upsert at the same moment never leave a schedule without a queue", async () => {
    const own = openPool(url, 6)
    const racing = createClient(pgDriver(own), { listen: false, notify: false })
    for (let i = 0; i < 20; i++) {
      const name = freshName()
      const options = await hourly()
      const outcomes = await Promise.allSettled([racing.schedules.upsert(name, options), racing.admin.dropQueue(options.queue, { force: i % 2 === 0 })])
      const codes = outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason.code : "done"))
      expect(["done,done", "queue_not_found,done", "done,queue_in_use"]).toContain(codes.join())
    }
    const orphans = await pool.query("select name from sluice.schedule s where not exists (select from sluice.queue q where q.id = s.queue and q.dropped_at is null)")
    expect(orphans.rows).toEqual([])
    await racing.close()
    await own.end()
  })
})
