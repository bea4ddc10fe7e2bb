import { createClient, type MaintenanceReport, type ScheduleOptions } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { beforeEach, describe, expect, test } from "vitest"
import { pinHorizon } from "./helpers/churn.ts"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction, openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { setClock } from "./helpers/set-clock.ts"

const { client, pool, url, freshQueue } = await harness()
const { schedules } = client
const at = (time: string): Date => new Date(time)
const run = (): Promise<MaintenanceReport> => client.maintenance().run()

beforeEach(async () => {
  await pool.query("delete from sluice.schedule")
  await setClock(pool, "2030-01-01T00:00:00Z")
})

/** What the messages of a queue were scheduled for, in order of sending, without the year. */
async function sent(queue: string): Promise<string[]> {
  const { rows } = await pool.query<{ at: string }>(
    "select m.headers->>'scheduledFor' as at from sluice.message m join sluice.queue q on q.id = m.queue where q.name = $1 order by m.id", [queue])
  return rows.map((row) => row.at.replace("2030-", "").replace(":00.000Z", "").replace(".000Z", ""))
}

describe("a run that is due", () => {
  test("sends one message, with the headers of the schedule and its own, and moves on", async () => {
    const queue = await freshQueue()
    await schedules.upsert("s", { queue, cron: "0 * * * *", payload: { a: 1 }, headers: { h: 1 }, priority: 2 })
    await setClock(pool, "2030-01-01T00:59:59.999Z")
    expect(await run()).toMatchObject({ fired: 0 })
    await setClock(pool, "2030-01-01T01:00:00Z")
    expect(await run()).toMatchObject({ fired: 1, misfired: 0 })
    expect(await run()).toMatchObject({ fired: 0 })
    expect(await client.queue(queue).read()).toMatchObject({ payload: { a: 1 }, priority: 2, headers: { h: 1, schedule: "s", scheduledFor: "2030-01-01T01:00:00.000Z" } })
    expect(await schedules.get("s")).toMatchObject({ nextAt: at("2030-01-01T02:00Z"), lastAt: at("2030-01-01T01:00Z"), error: null })
  })

  test.each([{ storage: "dedicated" }, { storage: "unlogged" }, { partition: { by: "time", interval: "1d", retention: "7d" } }] as const)("sends to a queue stored as %j", async (storage) => {
    const queue = await freshQueue(storage)
    await schedules.upsert("s", { queue, every: "1h" })
    await setClock(pool, "2030-01-01T01:00:00Z")
    expect(await run()).toMatchObject({ fired: 1 })
    expect(await client.queue(queue).read()).toMatchObject({ payload: null, headers: { schedule: "s" } })
  })

  test("is the first at its start, and the last before its end", async () => {
    const queue = await freshQueue()
    await schedules.upsert("s", { queue, every: "1h", start: at("2030-01-01T10:00Z"), end: at("2030-01-01T12:00Z"), missed: "all" })
    await setClock(pool, "2030-01-01T09:59:59Z")
    expect(await run()).toMatchObject({ fired: 0 })
    await setClock(pool, "2030-01-02T00:00:00Z")
    expect(await run()).toMatchObject({ fired: 2 })
    expect(await sent(queue)).toEqual(["01-01T10:00", "01-01T11:00"])
    expect(await schedules.get("s")).toMatchObject({ nextAt: null, lastAt: at("2030-01-01T11:00Z") })
    expect(await run()).toMatchObject({ fired: 0 })
  })

  test("in a zone where clocks change: at 03:00 in spring, where 02:30 is left out, and once in autumn", async () => {
    const queue = await freshQueue()
    await setClock(pool, "2030-03-30T12:00:00Z")
    await schedules.upsert("s", { queue, cron: "30 2 * * *", timezone: "Europe/Berlin", missed: "all" })
    await setClock(pool, "2030-04-01T12:00:00Z")
    await run()
    expect(await sent(queue)).toEqual(["03-31T01:00", "04-01T00:30"])
    await schedules.remove("s")
    await setClock(pool, "2030-10-26T12:00:00Z")
    await schedules.upsert("s", { queue, cron: "30 2 * * *", timezone: "Europe/Berlin", missed: "all" })
    await setClock(pool, "2030-10-28T12:00:00Z")
    await run()
    expect((await sent(queue)).slice(2)).toEqual(["10-27T00:30", "10-28T01:30"])
  })

  test("does not drift: an interval goes by its anchor, however late it is looked at", async () => {
    const queue = await freshQueue()
    await schedules.upsert("s", { queue, every: "10s" })
    for (const time of ["00:00:12.345", "00:00:29.999", "00:00:30.001"]) {
      await setClock(pool, `2030-01-01T${time}Z`)
      await run()
    }
    expect(await sent(queue)).toEqual(["01-01T00:00:10", "01-01T00:00:20", "01-01T00:00:30"])
  })

  test("keeps its place while clocks go back", async () => {
    const queue = await freshQueue()
    await schedules.upsert("s", { queue, every: "1h" })
    await setClock(pool, "2030-01-01T01:00:00Z")
    expect(await run()).toMatchObject({ fired: 1 })
    await setClock(pool, "2030-01-01T00:30:00Z")
    await schedules.upsert("s", { queue, cron: "0 * * * *" })
    expect(await schedules.get("s"), "not the run that was sent").toMatchObject({ nextAt: at("2030-01-01T02:00Z") })
    await schedules.pause("s")
    expect(await schedules.resume("s")).toMatchObject({ nextAt: at("2030-01-01T02:00Z") })
    await setClock(pool, "2030-01-01T01:00:00Z")
    expect(await run()).toMatchObject({ fired: 0 })
  })
})

describe("missed runs", () => {
  const late: [what: string, missed: "skip" | "once" | "all", now: string, expected: string[]][] = [
    ["a minute late is in time", "skip", "01:01:00", ["01-01T01:00"]],
    ["later is missed", "skip", "01:01:00.001", []],
    ["the last one counts", "skip", "05:00:30", ["01-01T05:00"]],
    ["or none", "skip", "05:30:00", []],
    ["by one", "once", "05:30:00", ["01-01T05:00"]],
    ["by one, the last", "once", "05:00:30", ["01-01T05:00"]],
    ["by all", "all", "03:30:00", ["01-01T01:00", "01-01T02:00", "01-01T03:00"]],
  ]
  test.each(late)("%s: %s at %s", async (_, missed, now, expected) => {
    const queue = await freshQueue()
    await schedules.upsert("s", { queue, cron: "0 * * * *", missed })
    await setClock(pool, `2030-01-01T${now}Z`)
    expect(await run()).toMatchObject({ fired: expected.length })
    expect(await sent(queue)).toEqual(expected)
    expect((await schedules.get("s")).nextAt).toEqual(at(`2030-01-01T${String(Number(now.slice(0, 2)) + 1).padStart(2, "0")}:00Z`))
    expect(await run()).toMatchObject({ fired: 0 })
  })

  test("of a year of seconds cost one statement, where they are not all made up for", async () => {
    const queue = await freshQueue()
    await schedules.upsert("once", { queue, cron: "* * * * * *", missed: "once", timezone: "Europe/Berlin" })
    await schedules.upsert("skip", { queue, every: "1s" })
    await setClock(pool, "2031-01-01T00:00:00.500Z")
    expect(await run()).toMatchObject({ fired: 2 })
    expect(await sent(queue)).toEqual(["2031-01-01T00:00", "2031-01-01T00:00"])
  })

  test("are all made up for in order, a hundred a step, with those of others in between", async () => {
    const [long, short] = [await freshQueue(), await freshQueue()]
    await schedules.upsert("long", { queue: long, every: "1s", missed: "all" })
    await schedules.upsert("short", { queue: short, every: "1m", missed: "all" })
    await setClock(pool, "2030-01-01T00:10:00Z")
    const steps: string[] = []
    const driver = pgDriver(pool)
    const watching = createClient({ ...driver, query: (text: string, values: never, options: never) => {
      if (text.includes("fire_schedule")) steps.push(values[0])
      return driver.query(text, values, options)
    } } as typeof driver, { listen: false, notify: false })
    expect(await watching.maintenance().run()).toMatchObject({ fired: 610 })
    expect(steps.slice(0, 3).sort()).toEqual(["long", "long", "short"])
    expect(steps).toHaveLength(7)
    expect((await sent(long)).length).toBe(600)
    expect(new Set(await sent(long)).size).toBe(600)
    expect(await sent(long)).toEqual((await sent(long)).toSorted())
  })

  test("of a hundred schedules keep no other waiting that has come due since", async () => {
    const queue = await freshQueue()
    await pool.query(`insert into sluice.schedule (name, queue, every, anchor, missed, payload, created_at, next_at, wake_at)
      select 'behind.' || n, q.id, 1000, '2030-01-01 00:00+00', 'all', '1', '2030-01-01', '2030-01-01 00:00:01+00', '2030-01-01 00:00:01+00'
        from sluice.queue q, generate_series(1, 101) n where q.name = $1`, [queue])
    await schedules.upsert("late", { queue, every: "119s" })
    await setClock(pool, "2030-01-01T00:02:00Z")
    const steps: string[] = []
    const driver = pgDriver(pool)
    const watching = createClient({ ...driver, query: (text: string, values: never, options: never) => {
      if (text.includes("fire_schedule")) steps.push(values[0])
      return driver.query(text, values, options)
    } } as typeof driver, { listen: false, notify: false })
    expect(await watching.maintenance().run()).toMatchObject({ fired: 101 * 120 + 1 })
    expect(steps.indexOf("late"), "behind the first hundred and the one left of them").toBeLessThanOrEqual(101)
  })

  test("with a large payload are made up for in smaller steps", async () => {
    const queue = await freshQueue()
    const payload = Array.from({ length: 60_000 }, () => Math.random())
    await schedules.upsert("s", { queue, every: "1s", missed: "all", payload })
    await setClock(pool, "2030-01-01T00:00:20Z")
    const perStep: number[] = []
    const driver = pgDriver(pool)
    const watching = createClient({ ...driver, query: (text: string, values: never, options: never) => {
      if (text.includes("fire_schedule")) perStep.push((values[2] as string).split(",").length)
      return driver.query(text, values, options)
    } } as typeof driver, { listen: false, notify: false })
    expect(await watching.maintenance().run()).toMatchObject({ fired: 20 })
    expect(Math.max(...perStep)).toBeLessThan(20)
  })
})

describe("a schedule that cannot send", () => {
  /** One whose queue refuses, one behind it that is fine. */
  async function broken(missed: ScheduleOptions["missed"] = "skip") {
    const [bad, good] = [await freshQueue({ levels: 4 }), await freshQueue()]
    await schedules.upsert("a.bad", { queue: bad, cron: "0 * * * *", priority: 3, missed })
    await schedules.upsert("b.good", { queue: good, cron: "0 * * * *" })
    await client.admin.updateQueue(bad, { levels: 2 })
    await setClock(pool, "2030-01-01T01:00:00Z")
    return { bad, good }
  }

  test("says why in list, stops no other, and is tried again every 10 seconds until it can", async () => {
    const { bad, good } = await broken()
    expect(await run()).toMatchObject({ fired: 1, misfired: 1 })
    expect(await sent(good)).toHaveLength(1)
    const { items } = await schedules.list()
    expect(items[0]).toMatchObject({ name: "a.bad", nextAt: at("2030-01-01T01:00Z"), lastAt: null, error: { message: expect.stringContaining("priority"), at: at("2030-01-01T01:00Z") } })
    expect(await run()).toMatchObject({ fired: 0, misfired: 0 })
    await setClock(pool, "2030-01-01T01:00:10Z")
    expect(await run()).toMatchObject({ fired: 0, misfired: 1 })
    await client.admin.updateQueue(bad, { levels: 4 })
    await setClock(pool, "2030-01-01T01:00:20Z")
    expect(await run()).toMatchObject({ fired: 1, misfired: 0 })
    expect(await sent(bad)).toEqual(["01-01T01:00"])
    expect(await schedules.get("a.bad")).toMatchObject({ nextAt: at("2030-01-01T02:00Z"), error: null })
  })

  test.each([["skip", []], ["once", ["01-01T02:00"]], ["all", ["01-01T01:00", "01-01T02:00"]]] as const)("for long has missed its runs: %s", async (missed, expected) => {
    const { bad } = await broken(missed)
    await run()
    await client.admin.updateQueue(bad, { levels: 4 })
    await setClock(pool, "2030-01-01T02:30:00Z")
    await run()
    expect(await sent(bad)).toEqual(expected)
    expect((await schedules.get("a.bad")).error === null).toBe(missed !== "skip")
  })

  test("because the server raises is like any other, and nothing of its step is sent", async () => {
    const { good } = await broken()
    const queue = await freshQueue()
    await schedules.upsert("raises", { queue, every: "5m", missed: "all" })
    await pool.query(`create function public.no_more() returns trigger language plpgsql as $$ begin
      if new.headers->>'scheduledFor' like '%01:20:00%' then raise exception 'no more %', new.headers->>'schedule'; end if; return new; end $$`)
    await pool.query("create trigger no_more before insert on sluice.message_0 for each row execute function public.no_more()")
    try {
      await setClock(pool, "2030-01-01T01:30:00Z")
      await schedules.upsert("raises", { queue, every: "5m", missed: "all", payload: 1 })
      await run()
      expect(await schedules.get("raises")).toMatchObject({ error: { message: "no more raises" } })
    } finally {
      await pool.query("drop function public.no_more cascade")
    }
    expect(await sent(queue), "a step of five").toEqual([])
    expect(await sent(good)).toEqual([])
    await setClock(pool, "2030-01-01T01:30:10Z")
    await run()
    expect((await sent(queue)).at(-1)).toBe("01-01T01:30")
  })

  test("because this process does not know its pattern or zone is like any other, and another process may", async () => {
    const { good } = await broken()
    await pool.query("update sluice.schedule set timezone = 'Moon/Base' where name = 'a.bad'")
    expect(await run()).toMatchObject({ fired: 1, misfired: 1 })
    expect(await sent(good)).toHaveLength(1)
    expect(await schedules.get("a.bad")).toMatchObject({ error: { message: expect.stringContaining("Moon/Base") } })
  })

  test("in a hundred others stops none", async () => {
    const { bad, good } = await broken()
    await pool.query(`insert into sluice.schedule (name, queue, every, anchor, missed, priority, payload, created_at, next_at, wake_at)
      select 'bad.' || n, q.id, 1000, '2030-01-01', 'skip', 3, '1', '2030-01-01', '2030-01-01 00:00:01+00', '2030-01-01 00:00:01+00'
        from sluice.queue q, generate_series(1, 250) n where q.name = $1`, [bad])
    expect(await run()).toMatchObject({ fired: 1, misfired: 251 })
    expect(await sent(good)).toHaveLength(1)
  })

  test("because a transaction holds it is left for later, and stops none", async () => {
    const { good } = await broken()
    await inTransaction(pool, async (tx) => {
      await schedules.upsert("a.bad", { queue: good, cron: "0 * * * *", payload: "changed" }, { tx })
      expect(await run()).toMatchObject({ fired: 1, misfired: 0 })
    })
    expect(await run()).toMatchObject({ fired: 1, misfired: 0 })
  })
})

describe("the loop", () => {
  test("sends by itself, wakes a reader of another process, and reports it", async () => {
    await moveClock(pool, "0")
    const queue = await freshQueue()
    const reports: MaintenanceReport[] = []
    const reading = createClient(pgDriver({ connectionString: url }))
    const firing = createClient(pgDriver({ connectionString: url }))
    const read = reading.queue(queue).readWithPoll({ wait: "60s", interval: "59s" })
    await schedules.upsert("s", { queue, every: "1s", payload: "tick" })
    const loop = firing.maintenance({ onReport: (report) => void reports.push(report) })
    loop.start()
    expect(await read).toMatchObject([{ payload: "tick" }])
    await firing.close()
    await reading.close()
    expect(reports.some(({ ran, fired }) => ran && fired > 0)).toBe(true)
  })

  test("goes on sending where the rest of maintenance fails", async () => {
    await moveClock(pool, "0")
    const queue = await freshQueue()
    await schedules.upsert("s", { queue, every: "1s" })
    const errors: unknown[] = []
    await pool.query("alter function sluice.maintain rename to maintain_away")
    try {
      const loop = client.maintenance({ onError: (error) => void errors.push(error) })
      loop.start()
      await expect.poll(() => sent(queue).then((all) => all.length), { timeout: 15_000 }).toBeGreaterThan(1)
      await loop.stop()
    } finally {
      await pool.query("alter function sluice.maintain_away rename to maintain")
    }
    expect(errors.length).toBeGreaterThan(0)
  })

  test("works behind a default isolation level above READ COMMITTED, and through a pool of one", async () => {
    const queue = await freshQueue()
    await schedules.upsert("s", { queue, every: "1h" })
    await setClock(pool, "2030-01-01T01:00:00Z")
    const strict = openPool(`${url}${url.includes("?") ? "&" : "?"}options=${encodeURIComponent("-c default_transaction_isolation=serializable")}`, 1)
    const own = createClient(pgDriver(strict), { listen: false, notify: false })
    expect(await own.maintenance().run()).toMatchObject({ fired: 1 })
    await own.close()
    await strict.end()
    expect(await sent(queue)).toHaveLength(1)
  })
})

describe("fire_schedule", () => {
  test("sends nothing that is not due by the server's clock, or that was not planned", async () => {
    const queue = await freshQueue()
    await schedules.upsert("s", { queue, every: "1h" })
    const [hour, now] = [Date.parse("2030-01-01T01:00:00Z"), Date.parse("2030-01-01T01:30:00Z")]
    const fire = async (...values: unknown[]) => (await pool.query("select sluice.fire_schedule('s', $1, $2::float8[], $3, null) as answer", values)).rows[0].answer.did
    expect(await fire(hour, [hour], hour * 2), "early").toBe("lost")
    await setClock(pool, "2030-01-01T01:30:00Z")
    expect(await fire(hour - 1, [hour], hour * 2), "another due time").toBe("lost")
    expect(await fire(hour, [now + 1], hour * 2), "a run to come").toBe("lost")
    expect(await fire(hour, [hour - 1], hour * 2), "a run before").toBe("lost")
    expect(await fire(hour, [hour], hour), "a next one that is not later").toBe("lost")
    expect(await sent(queue)).toEqual([])
    expect(await fire(hour, [hour], hour * 2)).toBe("fired")
    expect(await fire(hour, [hour], hour * 2), "twice").toBe("lost")
    expect(await errorOf(pool.query("select sluice.fire_schedule('s')"))).toMatchObject({ code: "42883" })
  })

  test("looks at few pages beside the dead rows of many runs, beyond what was looked at before", async () => {
    const queue = await freshQueue()
    await moveClock(pool, "0")
    await pool.query(`insert into sluice.schedule (name, queue, every, anchor, missed, payload, created_at, next_at, wake_at)
      select 's', id, 1000, '2020-01-01', 'skip', '1', '2020-01-01', '2020-01-01', '2020-01-01' from sluice.queue where name = $1`, [queue])
    const from = Date.parse("2020-01-01")
    const pages = async (after: number | null) => {
      const { rows } = await pool.query("explain (analyze, buffers, format json) select sluice.due_schedules($1::float8, 100)", [after])
      return rows[0]["QUERY PLAN"][0].Plan["Shared Hit Blocks"] as number
    }
    const unpin = await pinHorizon(pool)
    try {
      await pool.query(`do $$ begin for i in 1..2000 loop
        perform set_config('synchronous_commit', 'off', true);
        update sluice.schedule set next_at = next_at + interval '1 second', wake_at = wake_at + interval '1 second'; commit; end loop; end $$`)
      for (const after of [null, from + 1_999_000]) await pages(after)
      const all = await pages(null)
      expect(all).toBeGreaterThan(25)
      expect(await pages(from + 1_999_000)).toBeLessThan(all / 3)
    } finally {
      await unpin()
    }
  })
})
