import { runHops, type CaseReport, type ConformanceReport } from "@sluice/conformance"
import { makeDrizzlePg } from "./adapters/drizzle-pg.ts"
import { makeDrizzlePostgresJs } from "./adapters/drizzle-postgres-js.ts"
import { makePg } from "./adapters/pg.ts"
import { makePostgresJs } from "./adapters/postgres-js.ts"

/** Every ordered pair of the adapters that share a server. */
export function runHopsOfAll(url: string, onCase: (one: CaseReport) => void): Promise<ConformanceReport> {
  const makers = {
    "pg": makePg(),
    "postgres-js": makePostgresJs(),
    "drizzle/pg": makeDrizzlePg(),
    "drizzle/postgres-js": makeDrizzlePostgresJs(),
  }
  return runHops(makers, { url, onCase })
}
