// pnpm check: everything that can be wrong with the code without running it. `pnpm check lint` runs one step.
import { globSync, rmSync } from "node:fs"
import { join } from "node:path"
import { runSteps, type Step } from "./run-steps.ts"

const root = join(import.meta.dirname, "..")
process.chdir(root)
process.env.PATH = `${join(root, "node_modules/.bin")}:${process.env.PATH}`

const build: Step = { name: "types of packages", commands: [["tsc", "-b"]] }
const afterBuild: Step[] = [
  { name: "packed packages", commands: [["node", "scripts/check-packages.ts"]] },
  { name: "types of tests and scripts", commands: [["tsc", "-p", "tsconfig.test.json"]] },
  { name: "lint", commands: [["oxlint", "--type-aware", "--deny-warnings"]] },
  { name: "boundaries", commands: [["node", "scripts/check-boundaries.ts"]] },
  { name: "unused code", commands: [["knip", "--no-progress", "--no-config-hints"]] },
  { name: "generated files", commands: [["node", "scripts/generate.ts", "--check"]] },
  { name: "size", commands: [["size-limit"]] },
]

const asked = process.argv.slice(2)
const wanted = ({ name }: Step): boolean => asked.length === 0 || asked.some((word) => name.includes(word))

const started = performance.now()
// tsc leaves the output of deleted sources behind, and it would be packed.
for (const dist of globSync("packages/*/dist")) rmSync(dist, { recursive: true })
const built = await runSteps([build], 1)
const clean = await runSteps(afterBuild.filter(wanted), 2)
const seconds = ((performance.now() - started) / 1000).toFixed(1)
console.log(`${built && clean ? "All checks passed" : "Checks failed"} in ${seconds} s`)
process.exitCode = built && clean ? 0 : 1
