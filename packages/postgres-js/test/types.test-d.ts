import type postgres from "postgres"
import { createClient, type Driver } from "@sluice/core"
import { postgresJsDriver } from "../src/index.ts"

declare const sql: postgres.Sql<{ point: [number, number] }>
const driver = postgresJsDriver(sql)
export const opened: Driver<postgres.TransactionSql> = postgresJsDriver("postgres://localhost", { max: 1 })

void driver.transaction(async (tx) => {
  tx.types.point([1, 2])
  driver.within(tx)
})
// @ts-expect-error a client is no transaction
driver.within(sql)
// @ts-expect-error nor is nothing
driver.within(undefined)
// @ts-expect-error neither client nor URL
postgresJsDriver(undefined)

const client = createClient(driver)
void client.subscriber("orders", "s", (_, { tx }) => tx`select 1`.then(() => tx.savepoint), { transactional: true })
void client.transaction((tx) => client.stream("orders").publish("paid", 1, { tx }))
// @ts-expect-error without transactional there is none
void client.subscriber("orders", "s", (_, { tx }) => tx)
// @ts-expect-error a client is no transaction
void client.stream("orders").publish("paid", 1, { tx: sql })
