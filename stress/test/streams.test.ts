import { createDatabase } from "@sluice/testkit"
import type { Pool } from "pg"
import { describe, expect, inject, test } from "vitest"
import { createRandom } from "../src/random.ts"
import { failed, type Outcome } from "../src/stress.ts"
import { streams } from "../src/streams/streams.ts"
import { breakInstallation, streamMutants } from "./mutants.ts"

async function run(seconds: number, sabotage?: (pool: Pool) => Promise<void>): Promise<Outcome> {
  const database = await createDatabase(inject("serverUrl"), "streams")
  const seed = Math.floor(Math.random() * 2 ** 31)
  try {
    const outcome = await streams({ url: database.url, seconds, random: createRandom(seed), storage: "shared", signal: new AbortController().signal, log: () => {}, sabotage })
    if (failed(outcome) && sabotage === undefined) console.error(`seed ${seed}`, outcome.counts)
    return outcome
  } finally {
    await database.drop()
  }
}

describe("streams", () => {
  test("every committed event comes once, whatever happens", async () => {
    const { counts, violations, errors } = await run(6)
    expect(errors).toEqual([])
    expect(violations).toEqual(Object.fromEntries(Object.keys(violations).map((name) => [name, 0])))
    for (const name of ["published", "rolled back", "savepoints rolled back", "put off", "taken over", "cut windows", "batches cleared", "rotated", "truncated", "held", "finishes refused", "processes killed", "backends terminated"]) {
      expect(counts[name], name).toBeGreaterThan(0)
    }
  }, 120_000)

  test.each(Object.entries(streamMutants))("notices that %s", async (_, mutant) => {
    const { counts, violations } = await run(3, (pool) => breakInstallation(pool, mutant))
    expect(violations[mutant.finds], JSON.stringify({ counts, violations })).toBeGreaterThan(0)
  }, 120_000)
})
