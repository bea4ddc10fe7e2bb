import { once } from "node:events"
import { drizzle } from "drizzle-orm/postgres-js"
import postgres from "postgres"
import { afterAll, describe, expect, test } from "vitest"
import { postgresJsDriver } from "../src/index.ts"
import { describeContract } from "../../pg/test/shared/contract.ts"
import { describeListening } from "../../pg/test/shared/listening.ts"
import { connections, countingSocket, url } from "../../pg/test/shared/server.ts"

const clients: postgres.Sql[] = []
const client = (options: postgres.Options<{}> = {}): postgres.Sql => {
  const made = postgres(url, { onnotice: () => {}, ...options })
  clients.push(made)
  return made
}
afterAll(() => Promise.all(clients.map((made) => made.end({ timeout: 1 }))))

const nulls = { value: { from: (value: unknown) => (value === null ? undefined : value) } }
const mine = (oid: number, serialize = (value: any) => `${value}`) => ({
  to: oid,
  from: [oid],
  serialize,
  parse: () => "mine",
})
const shapes: Record<string, () => postgres.Sql> = {
  plain: () => client(),
  "client of one": () => client({ max: 1 }),
  "prepare: false": () => client({ prepare: false }),
  "fetch_types: false": () => client({ fetch_types: false }),
  camel: () => client({ transform: postgres.camel }),
  toPascal: () => client({ transform: postgres.toPascal }),
  "pascal columns without a way back": () =>
    client({ transform: { column: postgres.toPascal as (name: string) => string } }),
  kebab: () => client({ transform: postgres.kebab }),
  "nulls to undefined": () => client({ transform: nulls }),
  "own types": () => client({ types: { a: mine(23), b: mine(701), c: mine(16), d: mine(25, () => "mine") } as any }),
  "touched by Drizzle": () => {
    const touched = client()
    drizzle(touched)
    return touched
  },
}
for (const [name, make] of Object.entries(shapes)) {
  const driver = postgresJsDriver(make())
  describe(name, () => describeContract(() => driver))
}

describe("listen", () => {
  const driver = postgresJsDriver(client({ max: 1 }))
  describeListening(
    () => driver,
    () => postgresJsDriver(client({ host: "127.0.0.1", port: 1 })),
  )
})

describe("round trips", () => {
  const open = async (options: postgres.Options<{}>) => {
    const waits = { count: 0 }
    const socket = async () => {
      const made = countingSocket(waits).connect(Number(new URL(url).port || 5432), new URL(url).hostname)
      await once(made, "connect")
      return made
    }
    const driver = postgresJsDriver(client({ max: 1, ...options, socket } as postgres.Options<{}>))
    const ask = () => driver.query("select $1::int4 as a, $2::text as b", [1, null], { name: "a" })
    await ask()
    waits.count = 0
    await ask()
    return waits.count
  }
  test("a warm statement is one", async () => expect(await open({})).toBe(1))
  test("prepare: false of the client wins", async () => expect(await open({ prepare: false })).toBe(2))
  test("also where Drizzle has touched it", async () => expect(await open({ fetch_types: false })).toBe(1))
})

describe("lifecycle", () => {
  test("a client opened from a URL gets the options and is ended by close", async () => {
    const driver = postgresJsDriver(url, { max: 3, connection: { application_name: "own" } })
    expect(driver.maxConnections).toBe(3)
    expect(await driver.query("select 1 as a")).toEqual([{ a: 1 }])
    expect(await connections("own", 1)).toBe(1)
    await driver.close!()
    expect(await connections("own", 0)).toBe(0)
  })

  test("a client that was handed in stays open", async () => {
    const borrowed = client()
    await postgresJsDriver(borrowed).close?.()
    expect([...(await borrowed`select 1 as a`)]).toEqual([{ a: 1 }])
  })

  test("anything else is refused with both forms named", () => {
    for (const source of [undefined, null, "localhost", 7, {}, () => {}]) {
      expect(() => postgresJsDriver(source as never)).toThrow(/client.*URL/)
    }
  })

  test("what cannot be undone is refused by name", () => {
    expect(() => postgresJsDriver(client({ transform: { row: (row) => ({ row }) } }))).toThrow("`transform.row`")
    expect(() => postgresJsDriver(client({ transform: { column: (name) => `_${name}` } }))).toThrow(
      "`transform.column`",
    )
  })

  test("within refuses the client itself", () => {
    const sql = client()
    expect(() => postgresJsDriver(sql).within(sql as never)).toThrow(TypeError)
  })

  test("no connection leaks from transactions that fail", async () => {
    const driver = postgresJsDriver(client({ max: 2, connection: { application_name: "leaky" } }))
    const failing = Array.from({ length: 20 }, () =>
      driver.transaction((tx) => driver.within(tx).query("select 1 / 0")),
    )
    await Promise.allSettled(failing)
    expect(await driver.query("select 1 as a")).toEqual([{ a: 1 }])
    expect(await connections("leaky", 2)).toBe(2)
  })

  test("a transaction that is over takes no more statements", async () => {
    const driver = postgresJsDriver(client())
    const tx = await driver.transaction(async (tx) => tx)
    await expect(driver.within(tx).query("select 1")).rejects.toThrow(/over/)
  })
})
