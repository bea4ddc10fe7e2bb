import { PGlite, type PGliteOptions } from "@electric-sql/pglite"
import { pgliteDriver } from "@sluice/pglite"
import type { MakeDriver } from "@sluice/conformance"
import type { Adapter } from "../adapter.ts"
import type { BuiltInTypes } from "./pg-pool.ts"

const ownTypes: BuiltInTypes = { bool: "Boolean", int4: "Number", int8: "Number", float8: "Number", timestamptz: "Date", jsonb: "Object" }

const parsers = { 16: (text: string) => (text === "t" ? 1 : 0), 20: BigInt, 23: BigInt, 701: (text: string) => text }
const parsedTypes = { bool: "Number", int4: "BigInt", int8: "BigInt", float8: "String" }
const serializers = Object.fromEntries([16, 20, 23, 25, 701].map((oid) => [oid, (value: unknown) => `serialized ${String(value)}`]))

/** One instance for all cases: each takes a second to start. */
export function makePglite(options: PGliteOptions = {}, returns = ownTypes): MakeDriver {
  let instance: Promise<PGlite> | undefined
  return async () => {
    const db = await (instance ??= PGlite.create(options))
    return {
      driver: pgliteDriver(db),
      begin: (isolation, work) =>
        db.transaction(async (tx) => {
          await tx.query(`set transaction isolation level ${isolation}`)
          return work(tx)
        }),
      native: { query: async (text) => (await db.query(text)).rows, returns },
      capabilities: { concurrent: "PGlite has one session", timeout: "PGlite has no timers: a statement runs to its end" },
      close: async () => {},
    }
  }
}

export const pglite: Adapter = {
  name: "pglite",
  modes: [
    { name: "plain", make: makePglite(), place: "in-process" },
    { name: "own types", make: makePglite({ parsers, serializers }, parsedTypes), place: "in-process" },
  ],
}
