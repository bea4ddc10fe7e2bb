// Started by worker-orders.test.ts: a worker under a name, which ends only when its worker does.
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"

const [url = "", queue = "", name = ""] = process.argv.slice(2)
const client = createClient(pgDriver({ connectionString: url, max: 2 }))
const say = (what: string): void => console.log(JSON.stringify(what))
const worker = client.worker([client.queue(queue).handler(({ payload }) => say(`handled ${String(payload)}`))], { name, maintenance: false })
worker.on("stopped", () => {
  say("stopped")
  void client.close()
})
await worker.start()
say("started")
