import { setTimeout as sleep } from "node:timers/promises"
import { createClient, InvalidOptionError, type MaintenanceOptions, type MaintenanceReport } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { describe, expect, test } from "vitest"
import { churn, pinHorizon } from "./helpers/churn.ts"
import { harness, openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, url, freshQueue } = await harness()

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !what(); i++) await sleep(25)
  expect(what()).toBe(true)
}

/** Dead rows reach the statistics a second after their transaction. */
async function churnAndFlush(name: string): Promise<void> {
  await churn(client, name, 1000)
  await sleep(1100)
  await client.queue(name).metrics()
  await churn(client, name, 1, 1)
}

describe("the loop", () => {
  test("flips by itself while a transaction pins the horizon, tells what it did, and stops when it is told to", async () => {
    const name = await freshQueue()
    const unpin = await pinHorizon(pool)
    await client.queue(name).sendBatch([{ payload: "stays" }, { payload: "later", delay: "1h" }])
    const leased = (await client.queue(name).read())!
    const reports: MaintenanceReport[] = []
    const loop = client.maintenance({ interval: "20ms", flipAfter: 500, flipPause: 0, onReport: (report) => void reports.push(report) })
    loop.start()
    loop.start()
    await churnAndFlush(name)
    await until(() => reports.some(({ truncated }) => truncated > 0))
    await loop.stop()
    const flips = reports.reduce((all, { truncated }) => all + truncated, 0)
    await sleep(200)
    expect(reports.reduce((all, { truncated }) => all + truncated, 0)).toBe(flips)
    expect(reports.every((report) => report.ran)).toBe(true)
    await client.queue(name).delete(leased)
    expect(await client.queue(name).metrics()).toMatchObject({ length: 1, delayed: 1 })
    await unpin()
  })

  test("is run by one process at a time, and by none before the interval is over", async () => {
    const clockAt = (time: string) => pool.query(`create or replace function sluice.clock() returns timestamptz language sql volatile as $$ select timestamptz '${time}' $$`)
    const ran = async () => {
      const answers = await Promise.all(Array.from({ length: 30 }, () => pool.query<{ answer: { busy: boolean } }>("select sluice.maintain('100 milliseconds', null, 20000, '5 seconds') as answer")))
      return answers.filter(({ rows }) => !rows[0]!.answer.busy).length
    }
    await clockAt("2040-01-01 00:00:00.000")
    expect(await ran()).toBe(1)
    await clockAt("2040-01-01 00:00:00.099")
    expect(await ran()).toBe(0)
    await clockAt("2040-01-01 00:00:00.101")
    expect(await ran()).toBe(1)
    await clockAt("2030-01-01")
    expect(await ran()).toBe(1)
    await moveClock(pool, "0")
  })

  test("outlives the server's refusals, and says what they were", async () => {
    const errors: unknown[] = []
    const own = createClient(pgDriver(pool), { schema: "not_there", listen: false, notify: false })
    const loop = own.maintenance({ interval: "20ms", onError: (error) => void errors.push(error) })
    loop.start()
    await until(() => errors.length > 0)
    await own.admin.install()
    const installed = errors.length
    await sleep(1200)
    expect(errors.length - installed).toBeLessThanOrEqual(1)
    await loop.stop()
    expect(errors[0]).toMatchObject({ code: "schema_not_installed", schema: "not_there" })
    await own.admin.uninstall({ confirm: "not_there" })
  })

  test("goes on whatever its callbacks throw, and a throwing onReport is told to onError", async () => {
    const errors: unknown[] = []
    const name = await freshQueue()
    const own = createClient(pgDriver({ connectionString: url }), { listen: false, notify: false })
    const loop = own.maintenance({
      interval: "20ms",
      flipAfter: 0,
      flipPause: 0,
      onReport: () => {
        throw new Error("report")
      },
      onError: (error) => {
        errors.push(error)
        throw new Error("error")
      },
    })
    loop.start()
    for (let i = 0; i < 100 && errors.length === 0; i++) {
      await churn(client, name, 100, 100)
      await sleep(100)
    }
    expect(errors[0]).toMatchObject({ message: "report" })
    const stopped = loop.stop()
    loop.start()
    await stopped
    await own.close()
    expect(() => loop.start()).toThrow(InvalidOptionError)
  })

  test("looks at every queue there is, a page at a time", async () => {
    const { rows: made } = await pool.query("select sluice.create_queue('page.' || n) from generate_series(1, 250) n")
    expect(made).toHaveLength(250)
    const page = async (after: number) =>
      (await pool.query<{ answer: { next: number | null } }>("select sluice.maintain('0', $1, 20000, '5 seconds') as answer", [after])).rows[0]!.answer.next
    const first = (await page(0))!
    expect(first).toBeGreaterThanOrEqual(200)
    const second = (await page(first))!
    expect(second).toBeGreaterThan(first)
    expect(await page(second)).toBeNull()
    expect(await client.maintenance().run()).toMatchObject({ ran: true })
    for (let n = 1; n <= 250; n++) await pool.query("select sluice.drop_queue($1)", [`page.${n}`])
  })

  test("ends with its client, and a client that is closed in the middle of a round waits for the step", async () => {
    const own = createClient(pgDriver({ connectionString: url }), { listen: false, notify: false })
    own.maintenance({ interval: "10ms" }).start()
    await sleep(50)
    await own.close()
    const { rows } = await pool.query("select count(*)::int as n from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())")
    expect(rows[0].n).toBe(0)
  })

  test("works on connections whose default isolation is strict, and through a pool of one", async () => {
    for (const level of ["repeatable read", "serializable"]) {
      const strict = openPool(`${url}?options=${encodeURIComponent(`-c default_transaction_isolation=${level.replace(" ", "\\ ")}`)}`, 1)
      expect(await createClient(pgDriver(strict), { listen: false }).maintenance().run(), level).toMatchObject({ ran: true })
      await strict.end()
    }
  })

  test("an idle installation writes nothing but that a round began", async () => {
    await freshQueue()
    await client.maintenance().run()
    const rows = async () => (await pool.query("select (select count(*) from sluice.floor), (select count(*) from sluice.segment), pg_current_xact_id_if_assigned() as xid")).rows
    const before = await rows()
    await client.maintenance().run()
    await client.queue(await freshQueue()).read()
    expect(await rows()).toEqual(before)
  })
})

describe("what dropped queues leave behind", () => {
  test("goes with the next round", async () => {
    const name = await freshQueue()
    const { id } = await client.admin.getQueue(name)
    await client.admin.dropQueue(name)
    await pool.query(`insert into sluice.message (segment, queue, priority, vt, enqueued_at, payload) select s.current, $1, 1, now(), now(), '1'
      from (select current from sluice.segment where storage = 0 order by generation desc limit 1) s`, [id])
    await pool.query("update sluice.queue set dropped_at = now() - interval '2 minutes' where id = $1", [id])
    expect((await client.maintenance().run()).strays).toBe(1)
    expect((await pool.query("select to_regclass($1) as counter", [`sluice.sent_${id}`])).rows).toEqual([{ counter: null }])
  })
})

describe("bad options", () => {
  test.each([
    ["interval", { interval: "1ms" }],
    ["interval", { interval: 5 }],
    ["partitionInterval", { partitionInterval: "10ms" }],
    ["flipAfter", { flipAfter: -1 }],
    ["flipPause", { flipPause: "soon" }],
    ["onReport", { onReport: true }],
    ["onError", { onError: "log" }],
    ["options.every", { every: "1s" }],
  ])("%s in %o", (field, options) => {
    expect(() => client.maintenance(options as unknown as MaintenanceOptions)).toThrow(InvalidOptionError)
    expect(() => client.maintenance(options as unknown as MaintenanceOptions)).toThrow(field)
  })
})
