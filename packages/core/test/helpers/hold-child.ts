// Started by crash.test.ts, and killed: `read` holds a lease, `send` an open transaction that has sent.
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"

const [url = "", task = ""] = process.argv.slice(2)
const client = createClient(pgDriver({ connectionString: url, max: 2 }))
if (task === "read") {
  console.log(JSON.stringify(await client.queue("held").read({ lease: "1h" })))
  setInterval(() => {}, 1000)
} else {
  await client.transaction(async (tx) => {
    await client.queue("held").send("never", { tx })
    await client.admin.createQueue("never", { tx })
    console.log(JSON.stringify("sent"))
    await new Promise((resolve) => setTimeout(resolve, 3_600_000))
  })
}
