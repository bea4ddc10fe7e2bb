// pnpm stress: loads an installation in ways that have broken queues before, and counts what was lost or came twice.
import { createDatabase, resolveServer } from "@sluice/testkit"
import { type Options, parseOptions, usage } from "./options.ts"
import { printTable } from "./print-table.ts"
import { race } from "./race/race.ts"
import { createRandom } from "./random.ts"
import { failed, type Stress } from "./stress.ts"
import { streams } from "./streams/streams.ts"

const stresses: Readonly<Record<string, Stress>> = { race, streams }

const stop = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(130) // asked twice: children and server go down with us all the same
    log("Stopping: what there is gets worked off and verified. Once more ends at once.")
    stop.abort()
  })
}

function log(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function runAll(options: Options): Promise<boolean> {
  const names = Object.keys(stresses).filter((name) => options.only === undefined || options.only === name)
  if (names.length === 0) throw new Error(`There is no ${options.only}. There are: ${Object.keys(stresses).join(", ")}.`)
  const server = await resolveServer({ version: options.version, log })
  let passed = true
  try {
    for (const name of names) {
      if (!stop.signal.aborted) passed = (await runOne(name, options, server.url, server.version)) && passed
    }
  } finally {
    await server.stop()
  }
  return passed
}

async function runOne(name: string, { seconds, seed, storage }: Options, serverUrl: string, version: string): Promise<boolean> {
  const title = `${name} over ${storage} storage, Postgres ${version}, ${seconds} s, seed ${seed}`
  log(`[${name}] ${title}. The seed fixes the plans; what concurrency makes of them differs from run to run.`)
  const database = await createDatabase(serverUrl, `stress ${name}`)
  try {
    const outcome = await stresses[name]!({
      url: database.url, seconds, random: createRandom(seed), storage, signal: stop.signal, log: (line) => log(`[${name}] ${line}`),
    })
    printTable(title, outcome)
    return !failed(outcome)
  } finally {
    await database.drop()
  }
}

try {
  const passed = await runAll(parseOptions(process.argv.slice(2)))
  process.exitCode = stop.signal.aborted ? 130 : passed ? 0 : 1
} catch (error) {
  log(error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS") ? `${error.message}\n${usage}` : String(error instanceof Error ? error.stack : error))
  process.exitCode = 1
}
