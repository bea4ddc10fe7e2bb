// The rules of the package borders that a linter cannot say. A `note:` line informs, any other line fails.
import { globSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { findSql } from "./find-sql.ts"

// Everything else under packages/ is a driver.
const notDrivers = new Set(["core", "conformance", "testkit", "cli", "dashboard", "otel", "simulation"])
const longestDriverFile = 125
const longFile = 300

interface Manifest {
  readonly dependencies?: Record<string, string>
  readonly peerDependencies?: Record<string, string>
}

function checkDriver(folder: string): string[] {
  const problems: string[] = []
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest
  const dependencies = Object.keys(manifest.dependencies ?? {})
  if (dependencies.length > 0) problems.push(`${folder}: a driver has only peers, not ${dependencies.join(", ")}`)
  if (!manifest.peerDependencies?.["@sluice/core"]) problems.push(`${folder}: a driver has @sluice/core as a peer`)
  for (const file of globSync(`${folder}/src/**/*.ts`)) {
    const source = readFileSync(file, "utf8")
    for (const { line, text } of findSql(source)) problems.push(`${file}:${line}: SQL belongs in core: ${text}`)
    const lines = countLines(source)
    if (lines > longestDriverFile) problems.push(`${file}: ${lines} lines, where a driver's file has about 100`)
  }
  return problems
}

function countLines(source: string): number {
  return source.split("\n").length - 1
}

const drivers = globSync("packages/*").filter((folder) => !notDrivers.has(basename(folder)))
const problems = drivers.flatMap(checkDriver)
for (const problem of problems) console.error(problem)
process.exitCode = problems.length > 0 ? 1 : 0

for (const file of globSync(["{packages,apps}/*/{src,test,scripts}/**/*.ts", "{bench,stress}/{src,test}/**/*.ts", "scripts/**/*.ts"])) {
  const lines = countLines(readFileSync(file, "utf8"))
  if (lines > longFile && !file.includes("/generated/")) console.log(`note: ${file} has ${lines} lines`)
}
