import { execFileSync, spawn, type ChildProcessByStdio } from "node:child_process"
import { once } from "node:events"
import type { Readable, Writable } from "node:stream"

/** The path of a client program of Postgres 15 or later, on the PATH or where Debian keeps it. */
export function findTool(name: "pg_dump" | "psql"): string | undefined {
  return [name, `/usr/lib/postgresql/15/bin/${name}`].find((path) => {
    try {
      return Number(/(\d+)\./.exec(execFileSync(path, ["--version"], { encoding: "utf8" }))?.[1]) >= 15
    } catch {
      return false
    }
  })
}

export interface SlowDump {
  /** Lets it write, and returns what it wrote once it has ended. */
  finish(): Promise<string>
}

/** Starts a dump whose output nobody reads: it stops as soon as the pipe is full, with its transaction and its locks. */
export function startDump(path: string, url: string): SlowDump {
  const child: ChildProcessByStdio<null, Readable, Readable> = spawn(path, [url], { stdio: ["ignore", "pipe", "pipe"] })
  const ended = endOf(child, "pg_dump")
  ended.catch(() => {}) // whoever finishes it hears of it
  return {
    finish: async () => {
      let text = ""
      child.stdout.setEncoding("utf8").on("data", (part: string) => (text += part))
      await ended
      return text
    },
  }
}

export async function restore(path: string, url: string, dump: string): Promise<void> {
  const child: ChildProcessByStdio<Writable, null, Readable> = spawn(path, ["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", url], { stdio: ["pipe", "ignore", "pipe"] })
  child.stdin.on("error", () => {}) // how it ended tells
  child.stdin.end(dump)
  await endOf(child, "psql")
}

async function endOf(child: ChildProcessByStdio<any, any, Readable>, name: string): Promise<void> {
  let complaint = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text))
  const [code] = await once(child, "close")
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${complaint}`)
}
