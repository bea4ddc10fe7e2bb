import { drizzle as overPg, type NodePgTransaction } from "drizzle-orm/node-postgres"
import { drizzle as overPostgresJs } from "drizzle-orm/postgres-js"
import { drizzle as overPg1 } from "drizzle-orm-1/node-postgres"
import { drizzle as overPostgresJs1 } from "drizzle-orm-1/postgres-js"
import { integer, pgTable } from "drizzle-orm/pg-core"
import { integer as integer1, pgTable as pgTable1 } from "drizzle-orm-1/pg-core"
import { createClient } from "@sluice/core"
import { drizzleDriver } from "../src/index.ts"

const orders = pgTable("orders", { id: integer() })
const orders1 = pgTable1("orders", { id: integer1() })

const db = overPg("postgres://localhost", { schema: { orders } })
const driver = drizzleDriver(db)
void driver.transaction(async (tx) => {
  const row = await tx.query.orders.findFirst()
  const id: number | null | undefined = row?.id
  driver.within(tx)
  return id
})
void db.transaction(async (tx) => driver.within(tx))
export type Expect = NodePgTransaction<{ orders: typeof orders }, any>

const sqlDriver = drizzleDriver(overPostgresJs("postgres://localhost"))
void sqlDriver.transaction(async (tx) => tx.select().from(orders))

const db1 = overPg1("postgres://localhost")
const driver1 = drizzleDriver(db1)
void driver1.transaction(async (tx) => tx.select().from(orders1))
void db1.transaction(async (tx) => driver1.within(tx))
void drizzleDriver(overPostgresJs1("postgres://localhost")).transaction(async (tx) => tx.select().from(orders1))

// @ts-expect-error a database is no transaction
driver.within(db)
// @ts-expect-error neither is it with the release candidate
driver1.within(db1)
// @ts-expect-error nor is nothing
driver.within(undefined)

const client = createClient(driver)
void client.subscriber("orders", "s", (_, { tx }) => tx.query.orders.findFirst(), { transactional: true })
void createClient(driver1).subscriber("orders", "s", (_, { tx }) => tx.select().from(orders1), { transactional: true })
void db.transaction((tx) => client.stream("orders").publish("paid", 1, { tx }))
// @ts-expect-error without transactional there is none
void client.subscriber("orders", "s", (_, { tx }) => tx)
// @ts-expect-error a database is no transaction
void client.stream("orders").publish("paid", 1, { tx: db })
// @ts-expect-error nor is the transaction of another version
void db1.transaction((tx) => client.stream("orders").publish("paid", 1, { tx }))
