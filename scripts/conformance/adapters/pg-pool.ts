import { Pool, type PoolClient, type PoolConfig } from "pg"
import type { DriverSetup, DriverUnderTest, NativeClient } from "@sluice/conformance"

export type BuiltInTypes = NonNullable<NativeClient["returns"]>

/** What node-postgres returns as it comes. */
export const ownTypes: BuiltInTypes = {
  bool: "Boolean",
  int4: "Number",
  int8: "String",
  float8: "Number",
  timestamptz: "Date",
  date: "Date",
  jsonb: "Object",
  interval: "PostgresInterval",
}

export function openPool({ url, max = 4 }: DriverSetup, config: PoolConfig = {}): Pool {
  const pool = new Pool({ connectionString: url, max, ...config })
  pool.on("error", () => {})
  // The kit cuts connections that are checked out, too.
  pool.on("connect", (client) => client.on("error", () => {}))
  return pool
}

export function nativePool(pool: Pool, returns: BuiltInTypes): NativeClient {
  return { query: async (text) => (await pool.query(text)).rows as unknown[], returns }
}

/** A transaction as people write it by hand. */
export function beginOn(pool: Pool): NonNullable<DriverUnderTest["begin"]> {
  return async (isolation, work) => {
    const client: PoolClient = await pool.connect()
    let broken: Error | undefined
    try {
      await client.query(`begin isolation level ${isolation}`)
      const result = await work(client)
      await client.query("commit")
      return result
    } catch (error) {
      await client.query("rollback").catch((failure: Error) => (broken = failure))
      throw error
    } finally {
      client.release(broken)
    }
  }
}
