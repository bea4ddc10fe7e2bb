import { it } from "vitest"
import { runConformance } from "../src/index.ts"
import { byIdMutants } from "./mutants/by-id.ts"
import { filterMutants } from "./mutants/filter.ts"
import { queueMutants } from "./mutants/queue.ts"
import { streamMutants } from "./mutants/stream.ts"
import { workerMutants } from "./mutants/worker.ts"
import { referenceDriver, referenceSetup, runStatement, type Run } from "./reference-driver.ts"
import { serverUrl } from "./server-url.ts"

// The driver is right, the database is not: a statement of the installation is changed on its way.
it.concurrent.for([...queueMutants, ...byIdMutants, ...filterMutants, ...workerMutants, ...streamMutants])(
  "a database where $name is failed by: $caughtBy",
  { timeout: 60_000 },
  async ({ caughtBy, within, from, to }, { expect }) => {
    let changed = 0
    const run: Run = (on, text, values, options) => {
      const mutant = text.includes(`create or replace function "sluice_conformance".${within}(`) ? text.replaceAll(from, to) : text
      if (mutant !== text) changed++
      return runStatement(on, mutant, values, options)
    }
    const make = (setup: Parameters<typeof referenceSetup>[0]) => referenceSetup(setup, (pool) => referenceDriver(pool, run))
    const report = await runConformance(make, { url: serverUrl, only: [caughtBy], timeout: 10_000 })
    expect(changed, "how often the mutant was installed").toBe(1)
    expect(report.cases.map(({ name, status }) => ({ name, status }))).toEqual([{ name: caughtBy, status: "failed" }])
    expect(report.cases[0]!.error).not.toMatch(/makeDriver\(\)|the case did not end|ECONN|SQLSTATE 42/)
  },
)
