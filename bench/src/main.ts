import { mkdirSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { resolveServer } from "@sluice/testkit"
import { help, type Options, parseOptions } from "./options.ts"
import { runBench } from "./run-bench.ts"

const stop = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(130) // asked twice: the server goes down with us all the same
    stop.abort(new Error("Stopped."))
    setTimeout(() => process.exit(130), 30_000).unref()
  })
}

try {
  const options = parseOptions(process.argv.slice(2))
  if (options.help) console.log(help)
  else await main(options)
} catch (error) {
  console.error(explain(stop.signal.aborted ? stop.signal.reason : error))
  process.exitCode = stop.signal.aborted ? 130 : 1
}

async function main(options: Options): Promise<void> {
  // What a careful operator would set; the defaults would have every run meet a checkpoint or two.
  const server = await resolveServer({ fsync: true, settings: { shared_buffers: "256MB", max_wal_size: "4GB" }, log })
  try {
    const result = await runBench(options, { serverUrl: server.url, stop: stop.signal, log, print: console.log })
    if (options.json === undefined) return
    mkdirSync(dirname(options.json), { recursive: true })
    writeFileSync(options.json, `${JSON.stringify(result, undefined, 2)}\n`)
  } finally {
    await server.stop()
  }
}

function log(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** The message of an error and of what caused it. */
function explain(error: unknown): string {
  const messages: string[] = []
  for (let at = error; at instanceof Error; at = at.cause) messages.push(at.message || String(at))
  return messages.join("\n  because: ") || String(error)
}
