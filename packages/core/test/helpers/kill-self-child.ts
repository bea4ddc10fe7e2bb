// Started by outcome-kill.test.ts: a worker whose handler ends its own process without a word, but for messages that say otherwise.
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { writeSync } from "node:fs"

const [url = "", name = ""] = process.argv.slice(2)
const client = createClient(pgDriver({ connectionString: url, max: 3 }), { listen: false })
const queue = client.queue<{ fine?: boolean; failFirst?: boolean }>(name)
const say = (what: unknown): unknown => writeSync(1, `${JSON.stringify(what)}\n`)
const worker = client.worker(
  [
    queue.handler(({ attempt, payload }) => {
      say({ attempt, ...payload })
      if (payload.fine) return
      if (payload.failFirst && attempt === 1) throw new Error("a warning")
      process.kill(process.pid, "SIGKILL")
      return new Promise(() => {})
    }),
  ],
  { pollInterval: "50ms", maintenance: false },
)
await worker.start()
