import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { databasePerFile } from "@sluice/testkit/vitest"
import { afterAll, expect, test } from "vitest"
import { openPool } from "./helpers/harness.ts"

const { url } = await databasePerFile()
const pool = openPool(url, 8)
// Nobody is woken by what comes by SQL, so that a look at an empty queue stays the last one for a while.
const client = createClient(pgDriver(pool), { listen: false, notify: false })
await client.admin.install()
for (const queue of ["a", "b"]) await client.admin.createQueue(queue)
afterAll(() => client.close())

test("drain of a worker that is running handles what was sent before it was called", async () => {
  const [a, b] = [client.queue<number>("a"), client.queue<number>("b")]
  for (let round = 0; round < 10; round++) {
    const seen: number[] = []
    const handle = ({ payload }: { payload: number }): void => void seen.push(payload)
    const worker = client.worker([a.handler(handle), b.handler(handle)], { maintenance: false })
    const bothIdle = Promise.all(["a", "b"].map((queue) => new Promise<void>((resolve) => worker.on("idle", (event) => event.queue === queue && resolve()))))
    await worker.start()
    await bothIdle
    await pool.query("select sluice.send($1, $2::jsonb)", [round % 2 === 0 ? "a" : "b", round])
    await worker.drain()
    expect(seen).toEqual([round])
  }
})
