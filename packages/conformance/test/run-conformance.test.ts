import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { formatReport, groups, rules, runConformance, type CaseReport } from "../src/index.ts"
import { hopCases } from "../src/cases/hops.ts"
import { openPool, referenceSetup } from "./reference-driver.ts"
import { serverUrl } from "./server-url.ts"

const names = groups.flatMap((group) => group.cases.map((one) => one.name))

describe("runConformance", () => {
  it("runs the chosen cases, reports them as data and leaves no database behind", async () => {
    const seen: CaseReport[] = []
    const only = ["null as text", "a warm query is one statement"]
    const report = await runConformance(referenceSetup, { url: serverUrl, only, onCase: (one) => seen.push(one) })
    expect(report).toMatchObject({ driver: "reference", mode: "plain", passed: 2, failed: 0, skipped: 0 })
    expect(report.cases).toEqual(seen)
    expect(JSON.parse(JSON.stringify(report))).toEqual(report)
    expect(report.cases[1]!.costs.map((cost) => [cost.operation, cost.roundTrips])).toEqual([
      ["query, warm", 1],
      ["query, named, warm", 1],
    ])
  })

  it("reports what a set-up cannot do as skipped, with the reason", async () => {
    const report = await runConformance(
      (setup) => ({
        ...referenceSetup(setup),
        begin: undefined,
        capabilities: { concurrent: "the database is in the process", tap: false },
      }),
      { url: serverUrl, groups: ["isolation", "budget"] },
    )
    expect(report.failed).toBe(0)
    const reasons = new Set(report.cases.map((one) => one.reason).filter((reason) => reason !== undefined))
    expect(reasons).toEqual(
      new Set(["the set-up has no begin()", "the database is in the process", "the set-up declares tap: false"]),
    )
    expect(formatReport(report)).toContain(
      "the set-up declares tap: false:\n    budget › a warm query is one statement\n",
    )
  })

  it("works in a given database and leaves only what it found", async () => {
    const only = ["reads its own writes"]
    const report = await runConformance(referenceSetup, { url: serverUrl, database: "given", only })
    expect(report.passed).toBe(1)
    const pool = openPool({ connectionString: serverUrl })
    const { rows } = await pool.query("select 1 from pg_namespace where nspname = 'sluice_conformance'")
    await pool.end()
    expect(rows).toEqual([])
  })

  it("refuses a case that it does not have", async () => {
    await expect(runConformance(referenceSetup, { url: serverUrl, only: ["flies"] })).rejects.toThrow(/"flies"/)
  })

  it("rejects when the server cannot be reached", async () => {
    await expect(runConformance(referenceSetup, { url: "postgres://nobody@127.0.0.1:1/none" })).rejects.toThrow()
  })
})

describe("the cases", () => {
  it("have names of their own", () => {
    expect(new Set(names).size).toBe(names.length)
  })

  it("prove every rule", () => {
    const proved = new Set<string>([...groups.flatMap((group) => group.cases), ...hopCases].map((one) => one.rule))
    expect([...proved].sort()).toEqual(Object.keys(rules).sort())
  })
})

it("the index needs no test framework", () => {
  const packed = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    peerDependenciesMeta: unknown
  }
  expect(packed.peerDependenciesMeta).toEqual({ vitest: { optional: true } })
  const imported = importsFrom(new URL("../src/index.ts", import.meta.url))
  expect([...imported].filter((name) => !/^(\.|node:|@sluice\/core$)/.test(name))).toEqual([])
})

/** What a module and the modules beside it import. */
function importsFrom(file: URL, seen = new Set<string>(), files = new Set<string>()): Set<string> {
  if (files.has(file.href)) return seen
  files.add(file.href)
  for (const [, name] of readFileSync(file, "utf8").matchAll(/from "([^"]+)"/g)) {
    seen.add(name!)
    if (name!.startsWith(".")) importsFrom(new URL(name!, file), seen, files)
  }
  return seen
}
