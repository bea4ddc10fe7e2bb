import type { Driver, QueryOptions, SqlValue, Unlisten } from "@sluice/core"
import { Client, escapeIdentifier, Pool, type PoolClient, type PoolConfig } from "pg"
import type { DriverSetup, DriverUnderTest } from "../src/index.ts"

/** Only what the contract names is decoded; all else stays text, whatever the process-wide parsers say. */
const types = {
  getTypeParser: (oid: number) => (text: string) =>
    oid === 16 ? text === "t" : oid === 23 || oid === 701 ? +text : text,
}

/** Runs a statement on a pool or one of its clients. Mutants put theirs in its place. */
export type Run = (
  on: Pool | PoolClient,
  text: string,
  values?: readonly SqlValue[],
  options?: QueryOptions,
) => Promise<unknown[]>

export const runStatement: Run = async (on, text, values = [], options = {}) =>
  (await on.query({ text, values: [...values], name: options.name, types: types as never })).rows as unknown[]

/** A driver that is right in every case of the kit: the certified answer that the mutants depart from. */
export function referenceDriver(source: Pool | string, run: Run = runStatement): Driver<PoolClient> {
  const pool = typeof source === "string" ? openPool({ connectionString: source }) : source
  const listeners = new Set<Unlisten>()
  let closed: Promise<void> | undefined
  return {
    name: "reference",
    maxConnections: pool.options.max,
    query: (text, values, options) => run(pool, text, values, options) as Promise<never>,
    within(tx) {
      if (tx === null || tx === undefined) throw new TypeError("within() needs a transaction")
      return { query: (text, values, options) => run(tx, text, values, options) as Promise<never> }
    },
    async transaction(work) {
      const client = await pool.connect()
      let broken: Error | undefined
      try {
        await client.query("begin")
        const value = await work(client)
        const { command } = await client.query("commit")
        if (command !== "COMMIT") throw new Error("the transaction was rolled back: a statement in it had failed")
        return value
      } catch (error) {
        await client.query("rollback").catch((reason: Error) => (broken = reason))
        throw error
      } finally {
        client.release(broken)
      }
    },
    async listen(channel, onNotify, onReady) {
      const end = await listen(pool.options, channel, onNotify, onReady)
      listeners.add(end)
      return end
    },
    close: () =>
      (closed ??= Promise.all([...listeners].map((end) => end())).then(() => {
        if (source !== pool) return pool.end()
      })),
  }
}

/** For a library that keeps track of savepoints itself; pg does not. */
export function savepointOf(driver: Driver<PoolClient>): NonNullable<Driver<PoolClient>["savepoint"]> {
  let depth = 0
  return async (tx, work) => {
    const name = `reference_${++depth}`
    await driver.within(tx).query(`savepoint ${name}`)
    try {
      const value = await work(tx)
      await driver.within(tx).query(`release savepoint ${name}`)
      return value
    } catch (error) {
      await driver.within(tx).query(`rollback to savepoint ${name}`)
      throw error
    }
  }
}

async function listen(
  config: PoolConfig,
  channel: string,
  onNotify: (payload: string) => void,
  onReady: () => void,
): Promise<Unlisten> {
  let client: Client
  let ended = false
  const open = async (): Promise<void> => {
    client = new Client(config)
    client.on("error", () => undefined)
    client.on("notification", (message) => ended || onNotify(message.payload ?? ""))
    await client.connect()
    await client.query(`listen ${escapeIdentifier(channel)}`)
    client.once("end", () => void reopen())
    onReady()
  }
  const reopen = async (): Promise<void> => {
    while (!ended) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      if (
        ended ||
        (await open().then(
          () => true,
          () => false,
        ))
      )
        return
    }
  }
  await open()
  return async () => {
    ended = true
    await client.end()
  }
}

export function openPool(config: PoolConfig): Pool {
  const pool = new Pool(config)
  pool.on("error", () => undefined)
  pool.on("connect", (client) => client.on("error", () => undefined))
  return pool
}

/** The set-up of a driver over a borrowed pool. */
export function referenceSetup(
  { url, max = 4 }: DriverSetup,
  make = (pool: Pool): Driver => referenceDriver(pool),
): DriverUnderTest {
  const pool = openPool({ connectionString: url, max })
  const driver = make(pool)
  return {
    driver,
    native: {
      query: async (text) => (await pool.query(text)).rows as unknown[],
      returns: { timestamptz: "Date", int8: "String", jsonb: "Object", interval: "PostgresInterval", float8: "Number" },
    },
    fromUrl: (own) => referenceDriver(own),
    async begin(isolation, work) {
      const client = await pool.connect()
      try {
        await client.query(`begin isolation level ${isolation}`)
        const value = await work(client)
        await client.query("commit")
        return value
      } catch (error) {
        await client.query("rollback")
        throw error
      } finally {
        client.release()
      }
    },
    async close() {
      await driver.close?.()
      if (!pool.ended) await pool.end()
    },
  }
}
