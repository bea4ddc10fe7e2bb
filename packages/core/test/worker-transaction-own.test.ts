import { createClient, type Message, type Worker } from "@sluice/core"
import { drizzleDriver } from "@sluice/drizzle"
import { pgDriver } from "@sluice/pg"
import { postgresJsDriver } from "@sluice/postgres-js"
import { sql as raw } from "drizzle-orm"
import { drizzle as overPg } from "drizzle-orm/node-postgres"
import { drizzle as overPostgresJs } from "drizzle-orm/postgres-js"
import { setTimeout as sleep } from "node:timers/promises"
import postgres from "postgres"
import { afterAll, describe, expect, test } from "vitest"
import { createEffectTable, effectsOf, tellingOf } from "./helpers/effects.ts"
import { harness, openPool } from "./helpers/harness.ts"

const { pool, url, freshQueue } = await harness()
await createEffectTable(pool)
const own = openPool(url, 3)
const sql = postgres(url, { max: 3, backoff: () => 0.01, onnotice: () => {} })
const dbOverPg = overPg(own)
const dbOverSql = overPostgresJs(sql)
afterAll(() => Promise.all([own.end(), sql.end({ timeout: 1 })]))

const quiet = { listen: false, notify: false } as const
const pg = createClient(pgDriver(own), quiet)
const postgresJs = createClient(postgresJsDriver(sql), quiet)
const drizzlePg = createClient(drizzleDriver(dbOverPg), quiet)
const drizzleSql = createClient(drizzleDriver(dbOverSql), quiet)
const options = { transactional: true, batch: 2 } as const

/** Workers whose handlers undo a part of what they do, each in its library's own way, and keep the other. */
const savepoints: Record<string, (name: string) => Worker> = {
  pg: (name) =>
    pg.worker([pg.queue<number>(name).handler(async ({ payload }, { tx }) => {
      await tx.query("insert into effect (queue, n) values ($1, $2)", [name, payload])
      await tx.query("savepoint mine")
      await tx.query("insert into effect (queue, n) values ($1, $2)", [name, payload + 100])
      await tx.query("select 1 / 0").catch(() => tx.query("rollback to savepoint mine"))
    }, options)]),
  "postgres.js": (name) =>
    postgresJs.worker([postgresJs.queue<number>(name).handler(async ({ payload }, { tx }) => {
      await tx`insert into effect (queue, n) values (${name}, ${payload})`
      await tx.savepoint(async (inner) => {
        await inner`insert into effect (queue, n) values (${name}, ${payload + 100})`
        throw new Error("undo")
      }).catch(() => {})
    }, options)]),
  "drizzle over pg": (name) =>
    drizzlePg.worker([drizzlePg.queue<number>(name).handler(async ({ payload }, { tx }) => {
      await tx.execute(raw`insert into effect (queue, n) values (${name}, ${payload})`)
      await tx.transaction(async (inner) => {
        await inner.execute(raw`insert into effect (queue, n) values (${name}, ${payload + 100})`)
        inner.rollback()
      }).catch(() => {})
    }, options)]),
  "drizzle over postgres.js": (name) =>
    drizzleSql.worker([drizzleSql.queue<number>(name).handler(async ({ payload }, { tx }) => {
      await tx.execute(raw`insert into effect (queue, n) values (${name}, ${payload})`)
      await tx.transaction(async (inner) => {
        await inner.execute(raw`insert into effect (queue, n) values (${name}, ${payload + 100})`)
        inner.rollback()
      }).catch(() => {})
    }, options)]),
}

type Handle = (message: Message<number>, run: (text: string) => Promise<unknown>, signal: AbortSignal) => Promise<unknown>
const single = { transactional: true } as const

/** Workers whose handlers run statements by the library's own means. */
const statements: Record<string, (name: string, handle: Handle) => Worker> = {
  pg: (name, handle) => pg.worker([pg.queue<number>(name).handler((message, { tx, signal }) => handle(message, (text) => tx.query(text), signal), single)]),
  "postgres.js": (name, handle) => postgresJs.worker([postgresJs.queue<number>(name).handler((message, { tx, signal }) => handle(message, async (text) => tx.unsafe(text), signal), single)]),
  "drizzle over pg": (name, handle) => drizzlePg.worker([drizzlePg.queue<number>(name).handler((message, { tx, signal }) => handle(message, (text) => tx.execute(raw.raw(text)), signal), single)]),
  "drizzle over postgres.js": (name, handle) => drizzleSql.worker([drizzleSql.queue<number>(name).handler((message, { tx, signal }) => handle(message, async (text) => tx.execute(raw.raw(text)), signal), single)]),
}

describe.each(Object.keys(savepoints))("over %s", (driver) => {
  test("savepoints of a handler's own undo what is in them, and nothing else", async () => {
    const name = await freshQueue()
    await pg.queue(name).sendBatch([{ payload: 1 }, { payload: 2 }])
    const worker = savepoints[driver]!(name)
    const told = tellingOf(worker)
    await worker.drain()
    expect(told).toEqual(["done 1", "done 2"])
    expect(await effectsOf(pool, name)).toEqual([1, 2])
  })

  test("a handler that goes on after its connection died fails, is tried again, and ends nobody", async () => {
    const name = await freshQueue({ backoff: null })
    await pg.queue(name).send(1)
    let late: unknown
    const told: string[] = []
    const worker = statements[driver]!(name, async ({ attempt }, run, signal) => {
      await run(`insert into effect (queue, n) values ('${name}', ${attempt})`)
      if (attempt > 1) return
      const others = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'"
      await pool.query(others)
      await sleep(100)
      // postgres.js ends the transaction at once; node-postgres tells with the next statement.
      told.push(`signal ${signal.aborted}`)
      await run(`insert into effect (queue, n) values ('${name}', 7)`).catch((error: unknown) => (late = error))
    })
    const events = tellingOf(worker)
    await worker.drain()
    expect(events.filter((event) => !event.startsWith("error"))).toEqual(["retry 1", "done 1"])
    await expect.poll(() => late, { timeout: 5000 }).toBeInstanceOf(Error)
    expect(told).toEqual([`signal ${driver.endsWith("postgres.js")}`])
    expect(await effectsOf(pool, name)).toEqual([2])
  })
})
