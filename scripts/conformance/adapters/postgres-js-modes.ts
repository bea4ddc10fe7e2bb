import postgres, { type Options } from "postgres"
import type { DriverUnderTest } from "@sluice/conformance"
import type { Mode } from "../adapter.ts"
import { behindPooler, defaultIsolation, strictOnly } from "../places.ts"
import type { BuiltInTypes } from "./pg-pool.ts"

export interface PostgresJsSetUp {
  readonly client?: Options<{}>
  readonly returns?: BuiltInTypes
  readonly capabilities?: DriverUnderTest["capabilities"]
  /** Hand the client to `drizzle()` first, which changes it. */
  readonly sharedWithDrizzle?: boolean
}

const unprepared = { prepare: "the client says prepare: false" }
const renamed = { columnNames: "transform.column makes one name of two: only words such as core's have a way back" }
const nullToUndefined = { value: { from: (value: unknown) => (value === null ? undefined : value) } }

const type = (oid: number, parse: (text: string) => unknown): postgres.PostgresType => ({
  to: oid,
  from: [oid],
  serialize: (value: unknown) => `serialized ${String(value)}`,
  parse,
})
const types = { a: type(16, (text) => (text === "t" ? 1 : 0)), b: type(20, BigInt), c: type(23, BigInt), d: type(701, (text) => text) }
const parsedTypes = { bool: "Number", int8: "BigInt", int4: "BigInt", float8: "String" }

/** The modes of everything that runs on a client of postgres.js. */
export function postgresJsModes(make: (setUp?: PostgresJsSetUp) => Mode["make"]): Mode[] {
  return [
    { name: "plain", make: make() },
    { name: "prepare: false", make: make({ client: { prepare: false }, capabilities: unprepared }) },
    {
      name: "PgBouncer",
      make: make({ client: { prepare: false }, capabilities: { ...unprepared, ...behindPooler } }),
      place: "pgbouncer",
    },
    { name: "fetch_types: false", make: make({ client: { fetch_types: false } }), brief: true },
    { name: "postgres.camel", make: make({ client: { transform: postgres.camel }, capabilities: renamed }) },
    {
      name: "postgres.toPascal",
      make: make({ client: { transform: postgres.toPascal as never }, capabilities: renamed }),
      brief: true,
    },
    { name: "undefined to null", make: make({ client: { transform: { undefined: null } } }), brief: true },
    { name: "null to undefined", make: make({ client: { transform: nullToUndefined } }) },
    { name: "own types", make: make({ client: { types: types as never }, returns: parsedTypes }) },
    { name: "pool of one", make: make({ client: { max: 1 } }) },
    ...defaultIsolation.map((level) => ({
      name: level.toUpperCase(),
      make: make({ client: { connection: { default_transaction_isolation: level } } }),
      only: strictOnly(level),
    })),
  ]
}
