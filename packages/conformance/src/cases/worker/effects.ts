import type { Driver } from "@sluice/core"
import type { CaseContext } from "../../case.ts"

/** A table of what handlers did, to be written in their transactions. */
export interface Effects {
  readonly table: string
  add(driver: Driver, tx: unknown, n: unknown): Promise<unknown>
  /** What is there for everybody. */
  seen(): Promise<number[]>
}

export async function openEffects(context: CaseContext, constraint = ""): Promise<Effects> {
  const table = await context.table(`n int4 ${constraint}`)
  return {
    table,
    add: (driver, tx, n) => driver.within(tx).query(`insert into ${table} values ($1::int4)`, [n as number]),
    seen: async () => (await context.exec<{ n: number }>(`select n from ${table} order by n`)).map(({ n }) => n),
  }
}

/** A savepoint as users of the driver's library would open one. */
export async function inOwnSavepoint(driver: Driver, tx: unknown, work: (tx: unknown) => Promise<unknown>): Promise<unknown> {
  if (driver.savepoint !== undefined) return driver.savepoint(tx, work)
  await driver.within(tx).query("savepoint own")
  try {
    const result = await work(tx)
    await driver.within(tx).query("release savepoint own")
    return result
  } catch (error) {
    await driver.within(tx).query("rollback to savepoint own")
    throw error
  }
}
