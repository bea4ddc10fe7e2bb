import type { PoolConfig } from "pg"
import type { DriverUnderTest } from "@sluice/conformance"
import type { Mode } from "../adapter.ts"
import { behindPooler, defaultIsolation, strictOnly } from "../places.ts"
import { clientTypes, parsedTypes, setParsers } from "./pg-parsers.ts"
import type { BuiltInTypes } from "./pg-pool.ts"

export interface PgSetUp {
  readonly pool?: PoolConfig
  readonly returns?: BuiltInTypes
  readonly capabilities?: DriverUnderTest["capabilities"]
}

/** The modes of everything that runs on a pool of node-postgres. */
export function pgModes(make: (setUp?: PgSetUp) => Mode["make"]): Mode[] {
  return [
    { name: "plain", make: make() },
    { name: "PgBouncer", make: make({ capabilities: behindPooler }), place: "pgbouncer" },
    { name: "own parsers, pg.types", make: make({ returns: parsedTypes }), before: setParsers },
    { name: "own parsers, pool", make: make({ pool: { types: clientTypes }, returns: parsedTypes }) },
    { name: "pool of one", make: make({ pool: { max: 1 } }) },
    ...defaultIsolation.map((level) => ({
      name: level.toUpperCase(),
      make: make({ pool: { options: `-c default_transaction_isolation=${level.replace(" ", "\\ ")}` } }),
      only: strictOnly(level),
    })),
  ]
}
