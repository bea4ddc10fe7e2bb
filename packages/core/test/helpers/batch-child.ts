// Started by stream-members.test.ts: reads a batch, and finishes it when told by a row in the table "go".
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { Pool } from "pg"
import { until } from "./until.ts"

const [url = "", stream = "", owner = "", member = ""] = process.argv.slice(2)
const pool = new Pool({ connectionString: url, max: 2 })
const client = createClient(pgDriver(pool), { listen: false, notify: false })
const sub = client.stream(stream).subscription("sub", { owner, member: member === "member" })
const say = (value: unknown): void => console.log(JSON.stringify(value))

const batch = (await sub.nextBatch({ chunk: 1 }))!
say({ id: batch.id, attempt: batch.attempt, numbers: (await batch.list()).map(({ data }) => data) })
await until(async () => (await pool.query("select from go where owner = $1", [owner])).rowCount, "it may go on")
const tx = await pool.connect()
await tx.query("begin")
await tx.query("insert into effect select $1, n from unnest($2::int[]) n", [owner, (await batch.list().catch(() => [])).map(({ data }) => data)])
try {
  await batch.finish({ tx })
  await tx.query("commit")
  say("finished")
} catch (error) {
  await tx.query("rollback")
  say((error as { code?: string }).code)
}
tx.release()
await client.close()
await pool.end()
