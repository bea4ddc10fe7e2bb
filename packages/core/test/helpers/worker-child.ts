// A worker in a process of its own. Started by tests of workers, and killed or suspended: prints {event, id, …} for what it does.
import { createClient, type Worker, type WorkerOptions } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { eventNames } from "./worker-events.ts"

export interface WorkerChildTask {
  readonly url: string
  readonly queue: string
  readonly options?: WorkerOptions
  /** The handler: returns at once, runs for ever, runs for so many milliseconds, spins until killed by itself. */
  readonly handler: "return" | "hang" | "abortable" | "kill" | number
  readonly listen?: boolean
  /** Ends by itself: after so many messages the worker is stopped and the client closed. */
  readonly thenStop?: boolean
}

const { url, queue, options, handler, listen = false, thenStop = false } = JSON.parse(process.argv[2]!) as WorkerChildTask
const tell = (event: object): void => console.log(JSON.stringify(event))
const client = createClient(pgDriver({ connectionString: url, max: 4 }), { listen })
const worker: Worker = client.worker(
  [
    client.queue(queue).handler(async (_, { signal }) => {
      if (handler === "kill") process.kill(process.pid, "SIGKILL")
      if (handler === "hang") await new Promise((resolve) => setTimeout(resolve, 3_600_000))
      if (handler === "abortable") await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)))
      if (typeof handler === "number") await new Promise((resolve) => setTimeout(resolve, handler))
    }),
  ],
  { maintenance: false, ...options },
)
for (const name of eventNames) {
  worker.on(name, (event) => tell({ event: name, ...("message" in event && { id: event.message.id, attempt: event.message.attempt }), ...("error" in event && { error: String(event.error) }) }))
}
if (thenStop) {
  const done = new Promise((resolve) => worker.on("done", resolve))
  await worker.start()
  await done
  await worker.stop()
  await client.close()
} else {
  await worker.start()
  tell({ event: "ready" })
}
