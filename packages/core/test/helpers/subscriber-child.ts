// A subscriber in a process of its own. Started by tests of subscribers, and killed or suspended: prints {event, data, …} for what it does.
import { createClient, type SubscriberOptions } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { Pool } from "pg"

export interface SubscriberChildTask {
  readonly url: string
  readonly stream: string
  readonly options?: SubscriberOptions & { readonly transactional?: false }
  /** The handler: notes what it saw, runs for ever, kills its process at that number, runs for so many milliseconds of its first event. */
  readonly handler?: "hang" | `kill ${number}` | number
  readonly listen?: boolean
  /** Ends by itself: after an event the subscriber is stopped and the client closed. */
  readonly thenStop?: boolean
}

const { url, stream, options, handler, listen = false, thenStop = false } = JSON.parse(process.argv[2]!) as SubscriberChildTask
const tell = (event: object): void => console.log(JSON.stringify(event))
const pool = new Pool({ connectionString: url, max: 4 })
const client = createClient(pgDriver(pool), { listen })
let first = true
const subscriber = client.subscriber(
  stream,
  "s",
  async ({ data }) => {
    tell({ event: "began", data })
    if (handler === `kill ${String(data)}`) process.kill(process.pid, "SIGKILL")
    if (handler === "hang") await new Promise((resolve) => setTimeout(resolve, 3_600_000))
    if (typeof handler === "number" && first) {
      first = false
      await new Promise((resolve) => setTimeout(resolve, handler))
    }
    if (handler === undefined) await pool.query("insert into seen values ($1, $2)", [stream, data])
  },
  { maintenance: false, pollInterval: "20ms", ...options },
)
for (const name of ["done", "retry", "dead"] as const) subscriber.on(name, ({ event }) => tell({ event: name, data: event.data, attempt: event.attempt }))
for (const name of ["finished", "lost", "stopped"] as const) subscriber.on(name, () => tell({ event: name }))
subscriber.on("error", ({ error }) => tell({ event: "error", error: String(error) }))
await subscriber.start()
tell({ event: "ready" })
if (thenStop) {
  await new Promise((resolve) => subscriber.on("done", resolve))
  await subscriber.stop()
  await client.close()
  await pool.end()
}
