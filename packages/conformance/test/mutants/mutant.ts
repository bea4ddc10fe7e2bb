import type { Driver } from "@sluice/core"
import type { Pool, PoolClient } from "pg"
import type { MakeDriver } from "../../src/index.ts"
import { referenceDriver, referenceSetup, runStatement, type Run } from "../reference-driver.ts"

/** A driver that breaks one promise, and the case that must see it. */
export interface Mutant {
  /** What it does wrong. */
  readonly name: string
  readonly caughtBy: string
  readonly make: MakeDriver
}

export type PgDriver = Driver<PoolClient>

/** The reference driver with some of its members replaced. */
export function replacing(
  name: string,
  caughtBy: string,
  replace: (driver: PgDriver, pool: Pool) => Partial<PgDriver>,
): Mutant {
  const make: MakeDriver = (setup) =>
    referenceSetup(setup, (pool) => {
      const driver = referenceDriver(pool)
      return { ...driver, ...replace(driver, pool) }
    })
  return { name, caughtBy, make }
}

/** The reference driver that runs its statements in another way. */
export function running(name: string, caughtBy: string, change: (run: Run) => Run): Mutant {
  const run = change(runStatement)
  return { name, caughtBy, make: (setup) => referenceSetup(setup, (pool) => referenceDriver(pool, run)) }
}

/** The reference driver that changes the values of its rows. */
export function mapping(name: string, caughtBy: string, change: (value: unknown) => unknown): Mutant {
  return running(name, caughtBy, (run) => async (...args) => {
    const rows = (await run(...args)) as object[]
    return rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key, change(value)])))
  })
}
