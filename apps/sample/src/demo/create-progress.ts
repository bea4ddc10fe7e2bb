import { styleText } from "node:util"
import { createLogUpdate } from "log-update"

export interface Progress {
  /** A line that stays, before the tasks. */
  log(line: string): void
  /** What a task is at. Shown on a terminal only. */
  stage(task: string, text: string): void
  /** How a task ended. */
  done(task: string, text: string, ok: boolean): void
  /** Leaves what is shown as it is. */
  close(): void
}

/** One line for each task: kept up to date on a terminal, written once where it goes to a file or a pipe. */
export function createProgress(tasks: readonly string[], stream: NodeJS.WriteStream = process.stdout): Progress {
  // Some pseudo-terminals say they have no rows.
  const canUpdate = stream.isTTY && stream.rows > tasks.length && process.env.TERM !== "dumb"
  const live = canUpdate ? createLogUpdate(stream) : undefined
  const width = Math.max(...tasks.map((task) => task.length))
  const lines = new Map<string, string>()
  const set = (task: string, mark: string, text: string): void => {
    const line = `${mark} ${task.padEnd(width)}  ${text}`
    lines.set(task, line)
    if (live) live([...lines.values()].join("\n"))
  }
  return {
    log: (line) => void stream.write(`${line}\n`),
    stage: (task, text) => set(task, styleText("dim", "…", { stream }), styleText("dim", text, { stream })),
    done(task, text, ok) {
      set(task, ok ? styleText("green", "✓", { stream }) : styleText("red", "✗", { stream }), text)
      if (!live) stream.write(`${lines.get(task)}\n`)
    },
    close: () => live?.done(),
  }
}
