// Started by schedule-race.test.ts, and killed: sends what schedules have due, over and over, or says where it stands with its
// first run, and hangs: "before" the statement that sends, "inside" its transaction, "after" its commit.
import { createClient, type Driver, type SqlValue } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import type { PoolClient } from "pg"
import { openPool } from "./harness.ts"

const [url = "", where = ""] = process.argv.slice(2)
const pool = openPool(url, 2)
const driver = pgDriver(pool)

async function stopAt<Row>(text: string, values?: readonly SqlValue[]): Promise<Row[]> {
  if (where !== "before") {
    const tx = await pool.connect()
    if (where === "inside") await tx.query("begin")
    await tx.query(text, values as SqlValue[])
  }
  console.log(JSON.stringify(where))
  return new Promise(() => void setInterval(() => {}, 1000))
}

const stopping: Driver<PoolClient> = {
  ...driver,
  query: (text, values, options) => (where !== "" && text.includes("fire_schedule") ? stopAt(text, values) : driver.query(text, values, options)),
}
const maintenance = createClient(stopping, { listen: false, notify: false }).maintenance()
console.log(JSON.stringify("ready"))
for (;;) await maintenance.run()
