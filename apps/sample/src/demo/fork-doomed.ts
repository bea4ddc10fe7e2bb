import { type ChildProcess, fork } from "node:child_process"
import { join } from "node:path"

export type Moment = "paid, not settled" | "read, not finished" | "shipped, not settled"

export interface DoomedJob {
  readonly adapter: string
  readonly url: string
  readonly shop: string
  /** How many payments it takes. */
  readonly payments: number
}

export interface DoomedWorker {
  /** Has it take its payments, read events, and take one shipment when there is one. Resolves when it hangs with all but the shipment. */
  begin(job: DoomedJob): Promise<void>
  /** Ends it with SIGKILL when it hangs with its shipment too. */
  kill(): Promise<void>
}

/** Starts a process whose worker is to be killed after its effects and before its settles. */
export function forkDoomed(signal: AbortSignal): DoomedWorker {
  const child = fork(join(import.meta.dirname, "doomed-worker.ts"), { signal, killSignal: "SIGKILL", stdio: ["ignore", "ignore", "pipe", "ipc"] })
  let complaint = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (complaint += text))
  child.on("error", () => {}) // what ends it too early shows in how it closed
  const closed = new Promise<void>((resolve) => child.on("close", () => resolve()))
  const said = { paid: saying(child, "paid, not settled"), read: saying(child, "read, not finished"), shipped: saying(child, "shipped, not settled") }
  const orClosed = async (moment: Promise<unknown>): Promise<void> => {
    const early = closed.then(() => {
      throw new Error(`The worker that was to be killed ended by itself.\n${complaint}`)
    })
    await Promise.race([moment, early])
  }
  return {
    begin: async (job) => {
      child.send(job, () => {}) // not in argv: the URL holds a password
      await orClosed(Promise.all([said.paid, said.read]))
    },
    kill: async () => {
      await orClosed(said.shipped)
      child.kill("SIGKILL")
      await closed
    },
  }
}

function saying(child: ChildProcess, moment: Moment): Promise<void> {
  return new Promise((resolve) => child.on("message", (said) => said === moment && resolve()))
}
