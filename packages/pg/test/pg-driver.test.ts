import { Client, Pool, types, type PoolConfig } from "pg"
import { afterAll, afterEach, describe, expect, test } from "vitest"
import { pgDriver } from "../src/index.ts"
import { describeContract } from "./shared/contract.ts"
import { describeListening } from "./shared/listening.ts"
import { ask, connections, countingSocket, url } from "./shared/server.ts"

const pools: Pool[] = []
const pool = (config: PoolConfig = {}): Pool => {
  const made = new Pool({ connectionString: url, ...config })
  made.on("error", () => {})
  pools.push(made)
  return made
}
afterAll(() => Promise.all(pools.map((made) => made.ended || made.end())))

const hostile = { getTypeParser: () => () => ({}) } as unknown as PoolConfig["types"]
const shapes: Record<string, () => PoolConfig> = {
  plain: () => ({}),
  "pool of one": () => ({ max: 1 }),
  "own type parsers": () => ({ types: hostile }),
}
for (const [name, config] of Object.entries(shapes)) {
  const driver = pgDriver(pool(config()))
  describe(name, () => describeContract(() => driver))
}
const preparing = pgDriver(pool(), { prepare: true })
describe("prepare: true", () => describeContract(() => preparing))

describe("global type parsers", () => {
  const oids = [16, 23, 25, 701]
  const before = oids.map((oid) => types.getTypeParser(oid))
  afterAll(() => oids.forEach((oid, i) => types.setTypeParser(oid, before[i] as never)))
  const driver = pgDriver(pool())
  test("are left alone and do not matter", async () => {
    for (const oid of oids) types.setTypeParser(oid, () => "mine" as never)
    expect(await driver.query("select 'a'::text a, 1::int4 b, 2::float8 c, true d")).toEqual([
      { a: "a", b: 1, c: 2, d: true },
    ])
    expect((await pools[0]!.query("select 1::int4 as a")).rows).toEqual([{ a: "mine" }])
  })
})

describe("listen", () => {
  const driver = pgDriver(pool({ max: 1 }))
  describeListening(
    () => driver,
    () => pgDriver(pool({ connectionString: "postgres://127.0.0.1:1/none" })),
  )

  test("is made from a config with a password function, and takes nothing from the pool", async () => {
    const { hostname, port, username, pathname, password: secret } = new URL(url)
    let asked = 0
    const password = () => {
      asked++
      return decodeURIComponent(secret)
    }
    const own = pool({
      connectionString: undefined,
      host: hostname,
      port: Number(port),
      user: username,
      database: pathname.slice(1),
      password,
    })
    const unlisten = await pgDriver(own).listen!(
      "c",
      () => {},
      () => {},
    )
    expect(own.totalCount).toBe(0)
    expect(asked).toBe(1)
    await unlisten()
  })
})

describe("prepare", () => {
  const prepared = "select name from pg_prepared_statements"
  test("is off unless asked for", async () => {
    const one = pool({ max: 1 })
    await pgDriver(one).query("select $1::int4 as a", [1], { name: "sluice_a" })
    expect((await one.query(prepared)).rows).toEqual([])
    await pgDriver(one, { prepare: true }).query("select $1::int4 as a", [1], { name: "sluice_a" })
    expect((await one.query(prepared)).rows).toEqual([{ name: "sluice_a" }])
  })

  test.each([true, false])("one round trip per warm statement, prepare: %s", async (prepare) => {
    const waits = { count: 0 }
    const driver = pgDriver(pool({ max: 1, stream: () => countingSocket(waits) }), { prepare })
    await driver.query("select $1::int4 as a", [1], { name: "a" })
    waits.count = 0
    await driver.query("select $1::int4 as a", [1], { name: "a" })
    expect(waits.count).toBe(1)
  })
})

describe("lifecycle", () => {
  afterEach(() => expect(pools.every((made) => made.waitingCount === 0)).toBe(true))

  test("a pool opened from a URL or a config is ended by close", async () => {
    for (const source of [`${url}?application_name=own`, { connectionString: url, application_name: "own" }]) {
      const driver = pgDriver(source)
      expect(await driver.query("select 1 as a")).toEqual([{ a: 1 }])
      expect(await connections("own", 1)).toBe(1)
      await driver.close!()
      expect(await connections("own", 0)).toBe(0)
    }
  })

  test("a pool that was handed in stays open", async () => {
    const borrowed = pool()
    await pgDriver(borrowed).close?.()
    expect((await borrowed.query("select 1 as a")).rows).toEqual([{ a: 1 }])
  })

  test("anything else is refused with both forms named", () => {
    for (const source of [undefined, null, "localhost", 7, new Client(url)]) {
      expect(() => pgDriver(source as never)).toThrow(/Pool.*URL/)
    }
  })

  test("a binary pool is refused by name", () => {
    expect(() => pgDriver(pool({ binary: true } as PoolConfig))).toThrow(/`binary`/)
  })

  test("no connection leaks", async () => {
    const small = pool({ max: 2 })
    const driver = pgDriver(small)
    const fail = (tx: Parameters<typeof driver.within>[0]) => driver.within(tx).query("select 1 / 0")
    await Promise.allSettled(Array.from({ length: 20 }, () => driver.transaction(fail)))
    expect(small.idleCount).toBe(small.totalCount)
    expect(await driver.query("select 1 as a")).toEqual([{ a: 1 }])
  })

  test("a constraint that fails at COMMIT rejects with its own error", async () => {
    await ask("drop table if exists deferred")
    await ask("create table deferred (a int4 unique deferrable initially deferred)")
    const driver = pgDriver(pool({ max: 1 }))
    const running = driver.transaction((tx) => driver.within(tx).query("insert into deferred values (1), (1)"))
    await expect(running).rejects.toMatchObject({ code: "23505" })
    expect(await driver.query("select * from deferred")).toEqual([])
  })
})

test("a client that is in no transaction is refused: never begun, or over", async () => {
  const own = pool({ max: 1 })
  const client = await own.connect()
  const joined = pgDriver(own).within(client)
  await client.query("select 1")
  await expect(joined.query("select 1")).rejects.toThrow("in no transaction")
  await client.query("begin")
  expect(await joined.query("select 1::int4 as one")).toEqual([{ one: 1 }])
  await client.query("rollback")
  await expect(joined.query("select 1")).rejects.toThrow("in no transaction")
  client.release()
})
