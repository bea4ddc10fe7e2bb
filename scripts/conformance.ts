// pnpm conformance [ADAPTER…] [--mode M] [--group G] [--json FILE] [--strict]: certifies every adapter in every mode.
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { parseArgs } from "node:util"
import { resolveServer } from "@sluice/testkit"
import { adapters } from "./conformance/adapters.ts"
import { combinationsOf, hops } from "./conformance/combination.ts"
import { formatMatrix } from "./conformance/format-matrix.ts"
import { runMatrix } from "./conformance/run-matrix.ts"

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mode: { type: "string", multiple: true },
    group: { type: "string", multiple: true },
    json: { type: "string", default: join(import.meta.dirname, "../.vitest/conformance.json") },
    strict: { type: "boolean", default: false },
  },
})

const all = [...combinationsOf(adapters), { ...hops, place: "server" as const }]
refuseUnknown("adapter", positionals, all.map(({ adapter }) => adapter))
refuseUnknown("mode", values.mode ?? [], all.map(({ mode }) => mode))
const wanted = all.filter(
  ({ adapter, mode }) =>
    (positionals.length === 0 || positionals.includes(adapter)) && (values.mode?.includes(mode) ?? true),
)

const started = performance.now()
const server = await resolveServer()
const { outcomes, avoidable } = await runMatrix(wanted, server.url, values.group).finally(server.stop)
mkdirSync(dirname(values.json), { recursive: true })
writeFileSync(values.json, `${JSON.stringify({ server: server.version, outcomes }, undefined, 2)}\n`)

console.log(`\n${formatMatrix(outcomes)}`)
const count = (key: "passed" | "failed" | "skipped"): number => outcomes.reduce((sum, { report }) => sum + (report?.[key] ?? 0), 0)
const seconds = ((performance.now() - started) / 1000).toFixed(0)
console.log(`Conformance: ${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped in ${seconds} s`)
if (avoidable !== undefined) console.error(`This machine could have run the skipped modes: ${avoidable}`)
process.exitCode = count("failed") > 0 || count("passed") === 0 || (values.strict && avoidable !== undefined) ? 1 : 0

function refuseUnknown(kind: string, asked: readonly string[], known: readonly string[]): void {
  const unknown = asked.find((name) => !known.includes(name))
  if (unknown === undefined) return
  console.error(`There is no ${kind} "${unknown}". There are: ${[...new Set(known)].join(", ")}`)
  process.exit(1)
}
