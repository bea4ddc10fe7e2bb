// Forked by start-child.ts, and killed: a process with a reader of each subscription that there was from the beginning.
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { openPool } from "../open-pool.ts"
import { createRandom } from "../random.ts"
import type { Job } from "../start-child.ts"
import { read } from "./reader.ts"
import { early, READER, STREAM } from "./settings.ts"

const stop = new AbortController()
process.on("SIGINT", () => {}) // a Ctrl-C is for the parent, who says when to end
process.once("disconnect", () => process.exit(1))
process.once("message", ({ url, seed }: Job) => {
  process.once("message", () => stop.abort())
  void run(url, seed)
})

async function run(url: string, seed: number): Promise<void> {
  const pool = openPool(url, 4, READER)
  const random = createRandom(seed)
  const stream = createClient(pgDriver(pool), { listen: false, notify: false }).stream(STREAM)
  await Promise.all(early.map((reading) => read({ pool, stream, reading, random: random.fork() }, stop.signal)))
  await pool.end()
  process.exit(0)
}
