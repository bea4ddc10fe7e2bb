import { fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"

export interface DoomedJob {
  readonly adapter: string
  readonly url: string
  readonly queue: string
  /** Its payment has committed; or its shipment is written too, in the transaction that would have settled the message. */
  readonly moment: "paid, not shipped" | "shipped, not settled"
}

/** Starts a consumer process and ends it with SIGKILL at the given moment of its first order. */
export async function killConsumer(job: DoomedJob, signal: AbortSignal): Promise<void> {
  const child = fork(join(import.meta.dirname, "doomed-consumer.ts"), {
    signal,
    killSignal: "SIGKILL",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  })
  let complaint = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (complaint += text))
  child.once("message", () => child.kill("SIGKILL"))
  child.on("error", () => {}) // what ends it too early shows in how it closed
  child.send(job, () => {}) // not in argv: the URL holds a password
  const [, killedBy] = (await once(child, "close")) as [number | null, string | null]
  if (killedBy !== "SIGKILL") throw new Error(`The consumer that was to be killed ended by itself.\n${complaint}`)
}
