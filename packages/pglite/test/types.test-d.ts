import type { PGlite, Transaction } from "@electric-sql/pglite"
import type { Driver } from "@sluice/core"
import { pgliteDriver } from "../src/index.ts"

declare const db: PGlite
export const driver: Driver<Transaction> = pgliteDriver(db)
void driver.transaction(async (tx) => {
  driver.within(tx)
  return tx.closed
})
// @ts-expect-error a database is no transaction
driver.within(db)
// @ts-expect-error nor is nothing
driver.within(undefined)
