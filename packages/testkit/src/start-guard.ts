import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { serviceUser } from "./service-user.ts"

/**
 * A shell that outlives us: it runs the command lines it reads on stdin, one at a time, and reports `pid n` and
 * `exit n`. When its stdin closes, which the kernel does even if we are killed, it ends what runs (politely, then
 * firmly) and removes the folder; it ignores SIGPIPE, because nobody reads its last report then. `3` is that stdin,
 * kept away from the commands. The inner loop's output goes to /dev/null, or its `sleep` would keep our pipes open.
 */
const script = `
trap '' PIPE
exec 3<&0
while read -r line <&3; do
  { eval "exec $line"; } 3<&- </dev/null >&2 & p=$!
  echo "pid $p" 2>/dev/null
  {
    while read -r _; do :; done
    kill -TERM $p; sleep 2; kill -INT $p; sleep 5; kill -QUIT $p
  } <&3 >/dev/null 2>&1 & w=$!
  wait $p; code=$?
  { kill $w; wait $w; } 2>/dev/null
  echo "exit $code" 2>/dev/null
done
[ "$2" = keep ] || rm -rf "$1" || { sleep 1; rm -rf "$1"; }
`

export interface GuardedRun {
  readonly pid: number
  /** Resolves with the exit code, 128 + n after signal n. */
  readonly exited: Promise<number>
  /** The exit code once it has ended. */
  readonly code: number | undefined
}

export interface Guard {
  /** Runs a command as the service user, after the one before has ended. */
  run(command: readonly string[]): Promise<GuardedRun>
  /** The last kilobytes that the commands wrote. */
  output(): string
  /** Ends what runs and removes the folder. */
  close(): Promise<void>
}

export interface GuardOptions {
  /** Removed at the end, however the end comes. */
  readonly folder: string
  readonly keepFolder?: boolean
}

const environment = { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" }

/** Starts a guard: servers run under it neither survive this process nor leave their folder behind. */
export function startGuard({ folder, keepFolder }: GuardOptions): Guard {
  const shell = spawn("sh", ["-c", script, "guard", folder, keepFolder ? "keep" : "remove"], {
    ...serviceUser,
    env: environment,
    cwd: "/",
    detached: true, // a Ctrl-C in the terminal is for us, not for the servers
  })
  const closed = once(shell, "close")
  const reports = createInterface({ input: shell.stdout })
  const output = keepTail(shell)
  shell.stdin.on("error", () => {}) // the shell is gone; `closed` says so

  return {
    run: (command) => run(shell, reports, command),
    output,
    async close() {
      shell.stdin.end()
      await closed
    },
  }
}

function keepTail(shell: ChildProcessWithoutNullStreams): () => string {
  let tail = ""
  shell.stderr.setEncoding("utf8").on("data", (text: string) => {
    tail = (tail + text).slice(-8192)
  })
  return () => tail
}

type Reports = ReturnType<typeof createInterface>

type Shell = ChildProcessWithoutNullStreams

async function run(shell: Shell, reports: Reports, command: readonly string[]): Promise<GuardedRun> {
  let code: number | undefined
  const exited = new Promise<number>((resolve) => {
    const finish = (value: number): void => {
      reports.off("line", onLine).off("close", onClose)
      code = value
      resolve(value)
    }
    const onLine = (line: string): void => {
      if (line.startsWith("exit ")) finish(Number(line.slice(5)))
    }
    const onClose = (): void => finish(-1)
    reports.on("line", onLine).on("close", onClose)
  })
  const started = once(reports, "line") as Promise<[string]>
  shell.stdin.write(`${command.map(quote).join(" ")}\n`)
  const [line] = await Promise.race([started, exited.then((ended) => [`exit ${ended}`])])
  if (!line?.startsWith("pid ")) throw new Error(`The guard shell did not start ${command[0]}: ${line}`)
  return {
    pid: Number(line.slice(4)),
    exited,
    get code() {
      return code
    },
  }
}

function quote(word: string): string {
  if (word.includes("\n")) throw new Error("A guarded command cannot contain a line break.")
  return `'${word.replaceAll("'", "'\\''")}'`
}
