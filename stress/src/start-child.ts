import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"

/** What a child is told when it starts. */
export interface Job {
  readonly url: string
  readonly seed: number
}

export interface Child {
  /** SIGKILL, and another in its place. */
  replace(): Promise<void>
  /** Asks it to end. Rejects with what it said on standard error where it had ended by itself. */
  stop(): Promise<void>
}

/** Keeps one child process of a script running, named by its path from here, and forks another when it is killed. */
export function startChild(script: string, nextJob: () => Job, onMessage: (message: unknown) => void): Child {
  let complaint = ""
  let child = start()
  let closed = once(child, "close")

  function start(): ChildProcess {
    const started = fork(join(import.meta.dirname, script), { execArgv: [], stdio: ["ignore", "ignore", "pipe", "ipc"] })
    started.stderr!.setEncoding("utf8").on("data", (text: string) => (complaint += text))
    started.on("message", onMessage)
    started.on("error", () => {}) // how it closed tells
    started.send(nextJob(), () => {}) // not in argv: the URL holds a password
    return started
  }

  function check([code]: unknown[]): void {
    if (typeof code === "number" && code !== 0) throw new Error(`${script} ended by itself with ${code}.\n${complaint}`)
  }

  return {
    replace: async () => {
      child.kill("SIGKILL")
      check(await closed)
      child = start()
      closed = once(child, "close")
    },
    stop: async () => {
      if (child.connected) child.send("stop", () => {})
      check(await closed)
    },
  }
}
