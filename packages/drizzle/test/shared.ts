import { Client, Pool, types, type PoolConfig } from "pg"
import postgres from "postgres"
import { afterAll, describe, expect, test, vi } from "vitest"
import { pgDriver } from "@sluice/pg"
import { drizzleDriver } from "../src/index.ts"
import { describeContract } from "../../pg/test/shared/contract.ts"
import { describeListening } from "../../pg/test/shared/listening.ts"
import { ask, countingSocket, kill, url } from "../../pg/test/shared/server.ts"

interface Drizzle {
  pg(pool: unknown, config?: object): any
  postgresJs(sql: unknown, config?: object): any
  sql: any
}

/** The same tests for every major of Drizzle. */
export function describeDrizzle(drizzle: Drizzle): void {
  const ends: (() => Promise<unknown>)[] = []
  afterAll(() => Promise.all(ends.map((end) => end())))
  const pool = (config: PoolConfig = {}): Pool => {
    const made = new Pool({ connectionString: url, ...config })
    made.on("error", () => {})
    ends.push(() => made.end())
    return made
  }
  const client = (options: postgres.Options<{}> = {}): postgres.Sql => {
    const made = postgres(url, { onnotice: () => {}, ...options })
    ends.push(() => made.end({ timeout: 1 }))
    return made
  }
  const nulls = { value: { from: (value: unknown) => (value === null ? undefined : value) } }
  const parsing = (oid: number, parse: (text: string) => unknown) => ({
    to: oid,
    from: [oid],
    serialize: String,
    parse,
  })
  const own = {
    a: parsing(23, BigInt),
    b: parsing(701, String),
    c: parsing(16, (text) => (text === "t" ? 1 : 0)),
  } as any
  const shapes: Record<string, () => unknown> = {
    pg: () => drizzle.pg(pool()),
    "pg, pool of one": () => drizzle.pg(pool({ max: 1 })),
    "pg, own type parsers": () => drizzle.pg(pool({ types: { getTypeParser: () => () => ({}) } as any })),
    "postgres.js": () => drizzle.postgresJs(client()),
    "postgres.js, client of one": () => drizzle.postgresJs(client({ max: 1 })),
    "postgres.js, prepare: false": () => drizzle.postgresJs(client({ prepare: false })),
    "postgres.js, fetch_types: false": () => drizzle.postgresJs(client({ fetch_types: false })),
    "postgres.js, camel": () => drizzle.postgresJs(client({ transform: postgres.camel })),
    "postgres.js, toPascal": () => drizzle.postgresJs(client({ transform: postgres.toPascal })),
    "postgres.js, nulls to undefined": () => drizzle.postgresJs(client({ transform: nulls })),
    "postgres.js, own types": () => drizzle.postgresJs(client({ types: own })),
  }
  for (const [name, make] of Object.entries(shapes)) {
    const driver = drizzleDriver(make() as any)
    describe(name, () => describeContract(() => driver))
  }

  describe("global type parsers of pg", () => {
    const oids = [16, 23, 25, 701]
    const before = oids.map((oid) => types.getTypeParser(oid))
    afterAll(() => oids.forEach((oid, i) => types.setTypeParser(oid, before[i] as never)))
    test("are undone, or refused by name", async () => {
      types.setTypeParser(23, BigInt as never)
      types.setTypeParser(701, String as never)
      const driver = drizzleDriver(drizzle.pg(pool()))
      const text = "select 1::int4 as i, 0.5::float8 as f"
      expect(await driver.transaction((tx) => driver.within(tx).query(text))).toEqual([{ i: 1, f: 0.5 }])
      expect(await driver.query(text)).toEqual([{ i: 1, f: 0.5 }])
      types.setTypeParser(25, (text) => text.trim() as never)
      expect(() => drizzleDriver(drizzle.pg(pool()))).toThrow("`pg.types`")
    })
  })

  test("placeholders stay what they are, wherever they stand", async () => {
    const text = `select '$1 $2' as a, $tag$ $1; $tag$ as b /* $2 */, $2::int4 + $2::int4 as c, $1::text as d, $3::bool as e,
      "$1" as f from (select 'col' as "$1") x -- $3`
    for (const db of [drizzle.pg(pool()), drizzle.postgresJs(client())]) {
      const driver = drizzleDriver(db)
      for (const [d, c, e] of [
        ["x", 2, true],
        [null, -1, false],
        ["", 0, null],
      ] as const) {
        const rows = [{ a: "$1 $2", b: " $1; ", c: c * 2, d, e, f: "col" }]
        expect(await driver.transaction((tx) => driver.within(tx).query(text, [d, c, e]))).toEqual(rows)
        expect(await driver.query(text, [d, c, e])).toEqual(rows)
      }
    }
  })

  test("rows of one's own and statements of the driver commit and roll back together", async () => {
    await ask("drop table if exists together")
    await ask("create table together (v text)")
    for (const db of [drizzle.pg(pool()), drizzle.postgresJs(client())]) {
      const driver = drizzleDriver(db)
      for (const fails of [false, true]) {
        const done = db.transaction(async (tx: any) => {
          await tx.execute(drizzle.sql`insert into together values (${"mine"})`)
          await driver.within(tx).query("insert into together values ($1::text)", ["the driver's"])
          if (fails) throw new Error("no")
        })
        await (fails ? expect(done).rejects.toThrow("no") : done)
      }
    }
    expect(await ask("select v from together")).toHaveLength(4)
  })

  test("a warm statement outside a transaction is one round trip", async () => {
    const waits = { count: 0 }
    const socket = () => {
      const made = countingSocket(waits)
      return new Promise((resolve) => {
        made.connect(Number(new URL(url).port || 5432), new URL(url).hostname, () => resolve(made))
      })
    }
    const pg = drizzle.pg(pool({ max: 1, stream: () => countingSocket(waits) }))
    const postgresJs = drizzle.postgresJs(client({ max: 1, socket } as postgres.Options<{}>))
    for (const db of [pg, postgresJs]) {
      const driver = drizzleDriver(db)
      const query = () => driver.query("select $1::int4 as a", [1], { name: "a" })
      await query()
      waits.count = 0
      await query()
      expect(waits.count).toBe(1)
    }
  })

  test("the error of the work is told, also when its connection died", async () => {
    for (const db of [drizzle.pg(pool()), drizzle.postgresJs(client())]) {
      const driver = drizzleDriver(db)
      const failure = new Error("mine")
      const running = driver.transaction(async (tx) => {
        const [row] = await driver.within(tx).query<{ pid: number }>("select pg_backend_pid() as pid")
        await kill(row?.pid as number)
        throw failure
      })
      await expect(running).rejects.toThrow(/mine|CONNECTION_CLOSED/)
    }
  })

  describe("listen", () => {
    test("is absent unless borrowed", () => expect(drizzleDriver(drizzle.pg(pool())).listen).toBeUndefined())
    const borrow = (from: Pool) => drizzleDriver(drizzle.pg(from), { listen: pgDriver(from).listen })
    describeListening(
      () => borrow(pool()),
      () => borrow(pool({ connectionString: "postgres://127.0.0.1:1/none" })),
    )
  })

  test("what it cannot run on is refused by name", () => {
    const refused = (db: any) => expect(() => drizzleDriver(db))
    for (const db of [undefined, null, {}, pool(), drizzle.pg(new Client(url))])
      refused(db).toThrow(/node-postgres.*postgres\.js/)
    refused(drizzle.pg(pool({ binary: true } as PoolConfig))).toThrow("`binary`")
    refused(drizzle.postgresJs(client({ transform: { row: (row) => row } }))).toThrow("`transform.row`")
    refused(drizzle.postgresJs(client({ transform: { column: (name) => `_${name}` } }))).toThrow("`transform.column`")
    refused(drizzle.postgresJs(client({ transform: { value: () => 1 } }))).toThrow("`transform.value`")
    const db = drizzle.pg(pool())
    expect(() => drizzleDriver(db).within(db)).toThrow(TypeError)
  })

  test("a pool of the caller is left as it was", async () => {
    const borrowed = pool({ max: 2 })
    const warn = vi.spyOn(process, "emitWarning")
    const driver = drizzleDriver(drizzle.pg(borrowed))
    await Promise.allSettled(
      Array.from({ length: 30 }, () => driver.transaction((tx) => driver.within(tx).query("select 1 / 0"))),
    )
    expect(borrowed.idleCount).toBe(borrowed.totalCount)
    expect(borrowed.listenerCount("acquire")).toBe(0)
    expect(warn).not.toHaveBeenCalled()
    await driver.close?.()
    expect(await driver.query("select 1 as a")).toEqual([{ a: 1 }])
  })
}
