// Started by wake.test.ts: waits for a message once, closes, and must then end by itself.
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"

const [url = "", queue = ""] = process.argv.slice(2)
const client = createClient(pgDriver({ connectionString: url, max: 1 }))
console.log(JSON.stringify(await client.queue(queue).readWithPoll({ wait: "300ms" })))
await client.queue(queue).send("more")
console.log(JSON.stringify(await client.queue(queue).readWithPoll({ wait: "10s" })))
await client.close()
console.log(JSON.stringify("closed"))
