import type { PGlite, Transaction } from "@electric-sql/pglite"
import { createClient, type Driver } from "@sluice/core"
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

const client = createClient(driver)
void client.subscriber("orders", "s", (_, { tx }) => tx.exec("select 1"), { transactional: true })
// @ts-expect-error without transactional there is none
void client.subscriber("orders", "s", (_, { tx }) => tx)
// @ts-expect-error a database is no transaction
void client.stream("orders").publish("paid", 1, { tx: db })
