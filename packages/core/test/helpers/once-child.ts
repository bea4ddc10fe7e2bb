// Started by once.test.ts: does its work in a transaction, and stays in it, or after it, until it is killed.
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"

const [url = "", key = "", until = "work"] = process.argv.slice(2)
const client = createClient(pgDriver({ connectionString: url, max: 2 }))
const say = (what: unknown): void => console.log(JSON.stringify(what))
const forever = (): Promise<void> => new Promise(() => void setInterval(() => {}, 1000))
await client.transaction(async (tx) => {
  await client.once(tx, key, async () => {
    await tx.query("insert into effect values ($1)", [key])
    if (until === "work") {
      say("in work")
      await forever()
    }
  })
})
say("committed")
await forever()
