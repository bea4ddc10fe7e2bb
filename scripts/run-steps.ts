import { spawn } from "node:child_process"

export interface Step {
  readonly name: string
  /** Commands that run one after the other until one fails. */
  readonly commands: readonly (readonly string[])[]
}

export interface Outcome {
  readonly ok: boolean
  readonly output: string
}

/** Runs steps, a few at a time, with one line for each and the whole output of those that fail. */
export async function runSteps(steps: readonly Step[], atOnce: number): Promise<boolean> {
  const waiting = [...steps]
  const results: boolean[] = []
  const lane = async (): Promise<void> => {
    for (let step = waiting.shift(); step; step = waiting.shift()) results.push(await runStep(step))
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return results.every(Boolean)
}

async function runStep({ name, commands }: Step): Promise<boolean> {
  const started = performance.now()
  let ok = true
  let output = ""
  for (const command of commands) {
    const outcome = await runCommand(command)
    output += outcome.output
    ok = outcome.ok
    if (!ok) break
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(5)
  const notes = output.split("\n").filter((line) => line.startsWith("note: "))
  console.log([`${ok ? "ok  " : "FAIL"} ${seconds} s  ${name}`, ...(ok ? notes : [output.trimEnd()])].join("\n"))
  return ok
}

/** Runs a command from the root's `node_modules/.bin` or PATH; resolves with its two outputs as they came. */
export function runCommand([command = "", ...args]: readonly string[], cwd?: string): Promise<Outcome> {
  return new Promise((resolve) => {
    let output = ""
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] })
    const keep = (chunk: string): void => void (output += chunk)
    child.stdout.setEncoding("utf8").on("data", keep)
    child.stderr.setEncoding("utf8").on("data", keep)
    child.on("error", (error) => resolve({ ok: false, output: `${output}${error.message}\n` }))
    child.on("close", (code) => resolve({ ok: code === 0, output }))
  })
}
