import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"

export interface Child {
  /** The next line of its output, parsed from JSON. Rejects with its standard error when it ends first. */
  next<T = any>(): Promise<T>
  /** Sends SIGKILL and waits for the end. */
  kill(): Promise<void>
  /** Sends SIGSTOP: the process stands still, its connections stay. */
  suspend(): void
  /** Sends SIGCONT. */
  resume(): void
  /** The exit code, null after a signal. */
  readonly ended: Promise<number | null>
}

/** Starts a script of this folder, which prints one JSON text a line. */
export function startChild(script: string, ...args: string[]): Child {
  const child: ChildProcess = spawn(process.execPath, [join(import.meta.dirname, script), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  })
  let errors = ""
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (errors += text))
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  const ended = once(child, "close").then(([code]) => code as number | null)
  return {
    ended,
    next: async () => {
      const { value, done } = await lines.next()
      if (done) throw new Error(`${script} ended with ${await ended}: ${errors}`)
      return JSON.parse(value)
    },
    kill: async () => {
      child.kill("SIGKILL")
      await ended
    },
    suspend: () => void child.kill("SIGSTOP"),
    resume: () => void child.kill("SIGCONT"),
  }
}
