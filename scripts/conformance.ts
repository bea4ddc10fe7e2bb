// pnpm conformance [ADAPTER…] [--mode M]… [--group G]… [--full] [--strict] [--json FILE]
// Certifies every adapter in every mode. Fails on any failure; with --strict also if this machine could have run what
// was skipped. With --full, lines that leave the groups of core to one much like them run them, too.
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { parseArgs } from "node:util"
import { groups } from "@sluice/conformance"
import { resolveServer } from "@sluice/testkit"
import { adapters } from "./conformance/adapters.ts"
import { type Combination, combinationsOf, hops } from "./conformance/combination.ts"
import { formatMatrix } from "./conformance/format-matrix.ts"
import { runMatrix } from "./conformance/run-matrix.ts"

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mode: { type: "string", multiple: true },
    group: { type: "string", multiple: true },
    json: { type: "string", default: join(import.meta.dirname, "../.vitest/conformance.json") },
    full: { type: "boolean", default: false },
    strict: { type: "boolean", default: false },
  },
})

const all: Combination[] = [...combinationsOf(adapters), { ...hops, place: "server" }]
refuseUnknown("adapter", positionals, all.map(({ adapter }) => adapter))
refuseUnknown("group", values.group ?? [], [...groups.map(({ name }) => name), "hops"])
refuseUnknown("mode", values.mode ?? [], all.map(({ mode }) => mode))
const wanted = all.filter(
  ({ adapter, mode, only }) =>
    (positionals.length === 0 || positionals.includes(adapter)) &&
    (values.mode?.includes(mode) ?? true) &&
    (values.group?.some((name) => (adapter === hops.adapter ? name === "hops" : means(only, name))) ?? true),
)

function means(only: Combination["only"], group: string): boolean {
  return group !== "hops" && (only?.groups.includes(group) ?? true)
}

const started = performance.now()
const server = await resolveServer()
const { outcomes, avoidable } = await runMatrix(wanted, server.url, { groups: values.group, full: values.full }).finally(server.stop)
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
