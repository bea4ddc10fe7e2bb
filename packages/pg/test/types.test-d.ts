import { Pool, type PoolClient } from "pg"
import { createClient, type Driver } from "@sluice/core"
import { pgDriver } from "../src/index.ts"

const pool = new Pool()
export const driver: Driver<PoolClient> = pgDriver(pool)
export const opened: Driver<PoolClient> = pgDriver("postgres://localhost")
export const configured: Driver<PoolClient> = pgDriver({ host: "localhost" })

interface MyClient extends PoolClient {
  mine: true
}
declare const myPool: Omit<Pool, "connect"> & {
  connect(): Promise<MyClient>
  connect(callback: (error: Error | undefined, client: MyClient | undefined, done: () => void) => void): void
}
void pgDriver(myPool).transaction(async (tx) => {
  const mine: true = tx.mine
  return mine
})

void driver.transaction(async (tx) => {
  tx.release
  driver.within(tx)
})
// @ts-expect-error a pool is no transaction
driver.within(pool)
// @ts-expect-error nor is nothing
driver.within(undefined)
// @ts-expect-error neither pool nor URL nor config
pgDriver(undefined)

const client = createClient(driver)
void client.subscriber("orders", "s", (_, { tx }) => tx.query("select 1").then(() => tx.release), { transactional: true })
void client.transaction((tx) => client.stream("orders").publish("paid", 1, { tx }))
// @ts-expect-error without transactional there is none
void client.subscriber("orders", "s", (_, { tx }) => tx)
// @ts-expect-error a pool is no transaction
void client.stream("orders").publish("paid", 1, { tx: pool })
