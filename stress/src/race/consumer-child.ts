// Forked by start-child.ts, and killed: a process that consumes.
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { openPool } from "../open-pool.ts"
import { createRandom } from "../random.ts"
import type { Job } from "../start-child.ts"
import { consume } from "./consumer.ts"
import { QUEUE } from "./settings.ts"

const stop = new AbortController()
process.on("SIGINT", () => {}) // a Ctrl-C is for the parent, who says when to end
process.once("disconnect", () => process.exit(1))
process.once("message", ({ url, seed }: Job) => {
  process.once("message", () => stop.abort())
  void run(url, seed)
})

async function run(url: string, seed: number): Promise<void> {
  const pool = openPool(url, 2)
  const client = createClient(pgDriver(pool), { listen: false, notify: false })
  await consume({ pool, queue: client.queue(QUEUE), random: createRandom(seed), mortal: true }, stop.signal)
  await pool.end()
  process.exit(0)
}
