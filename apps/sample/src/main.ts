import { styleText } from "node:util"
import { explainError } from "./demo/explain-error.ts"
import { flows } from "./demo/flows.ts"
import { runDemo } from "./demo/run-demo.ts"

const stop = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(130) // asked twice: the server goes down with us all the same
    stop.abort(new Error("Stopped."))
    setTimeout(() => process.exit(130), 15_000).unref()
  })
}

/** `pnpm demo pg` runs what has this name; without a name everything runs. */
const names = process.argv.slice(2)
const chosen = flows.filter(({ name }) => names.length === 0 || names.includes(name))

try {
  if (chosen.length === 0) throw new Error(`There is no ${names.join(", ")}. There are: ${flows.map(({ name }) => name).join(", ")}.`)
  process.exitCode = (await runDemo(chosen, stop.signal)) ? 0 : 1
} catch (error) {
  console.error(styleText("red", explain(error), { stream: process.stderr }))
  process.exitCode = stop.signal.aborted ? 130 : 1
}

function explain(error: unknown): string {
  const text = explainError(error)
  if (stop.signal.aborted || chosen.length === 0) return text
  return process.env.DATABASE_URL
    ? `${text}\nThe demo uses DATABASE_URL: a server that answers, and a role that may create a database or a schema. Without it, the demo starts a Postgres of its own.`
    : `${text}\nTo run the demo on a Postgres of yours: DATABASE_URL=postgres://user:password@host/database`
}
