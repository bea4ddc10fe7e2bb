import postgres from "postgres"
import type { DriverSetup, DriverUnderTest, NativeClient } from "@sluice/conformance"
import type { BuiltInTypes } from "./pg-pool.ts"

/** What postgres.js returns as it comes. */
export const ownTypes: BuiltInTypes = {
  bool: "Boolean",
  int4: "Number",
  int8: "String",
  float8: "Number",
  timestamptz: "Date",
  date: "Date",
  jsonb: "Object",
  interval: "String",
}

export function openClient({ url, max = 4 }: DriverSetup, options: postgres.Options<{}> = {}): postgres.Sql {
  return postgres(url, { max, onnotice: () => {}, ...options })
}

export function nativeClient(sql: postgres.Sql, returns: BuiltInTypes): NativeClient {
  return { query: async (text) => [...(await sql.unsafe(text))], returns }
}

export function beginOn(sql: postgres.Sql): NonNullable<DriverUnderTest["begin"]> {
  return async <T>(isolation: string, work: (tx: unknown) => Promise<T>) =>
    (await sql.begin(`isolation level ${isolation}`, work)) as T
}
