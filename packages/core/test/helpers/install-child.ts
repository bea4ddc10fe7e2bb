// Started by install.test.ts: a process that installs as it starts.
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"

const [url = "", schema = ""] = process.argv.slice(2)
const client = createClient(pgDriver({ connectionString: url, max: 1 }), { schema })
console.log(JSON.stringify(await client.admin.install()))
await client.close()
