import { it } from "vitest"
import { runConformance } from "../src/index.ts"
import { connectionMutants } from "./mutants/connections.ts"
import { statementMutants } from "./mutants/statements.ts"
import { transactionMutants } from "./mutants/transactions.ts"
import { serverUrl } from "./server-url.ts"

const mutants = [...statementMutants, ...transactionMutants, ...connectionMutants]

// Most of their time the mutants wait for what never comes, so they wait together: each has a database of its own.
it.concurrent.for(mutants)(
  "a driver that $name is failed by: $caughtBy",
  { timeout: 60_000 },
  async ({ caughtBy, make }, { expect }) => {
    const report = await runConformance(make, { url: serverUrl, only: [caughtBy] })
    expect(report.cases.map(({ name, status }) => ({ name, status }))).toEqual([{ name: caughtBy, status: "failed" }])
    expect(report.cases[0]!.error).not.toMatch(/makeDriver\(\)|the case did not end|ECONN/)
  },
)
