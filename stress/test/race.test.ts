import { createDatabase } from "@sluice/testkit"
import type { Pool } from "pg"
import { describe, expect, inject, test } from "vitest"
import { createRandom } from "../src/random.ts"
import { race } from "../src/race/race.ts"
import { failed, type Outcome, type Storage } from "../src/stress.ts"
import { breakInstallation, mutants } from "./mutants.ts"

async function run(storage: Storage, seconds: number, sabotage?: (pool: Pool) => Promise<void>): Promise<Outcome> {
  const database = await createDatabase(inject("serverUrl"), "race")
  const seed = Math.floor(Math.random() * 2 ** 31)
  const log = (): void => {}
  try {
    const outcome = await race({ url: database.url, seconds, random: createRandom(seed), storage, signal: new AbortController().signal, log, sabotage })
    if (failed(outcome) && sabotage === undefined) console.error(`seed ${seed}`, outcome.counts)
    return outcome
  } finally {
    await database.drop()
  }
}

function expectZeros({ violations, errors }: Outcome): void {
  expect(errors).toEqual([])
  expect(violations).toEqual(Object.fromEntries(Object.keys(violations).map((name) => [name, 0])))
}

describe("race", () => {
  test("over the shared storage", async () => {
    const outcome = await run("shared", 12)
    expectZeros(outcome)
    for (const name of ["committed", "delivered", "flips", "moved", "truncated", "crashed", "sends rolled back", "processes killed"]) {
      expect(outcome.counts[name], name).toBeGreaterThan(0)
    }
  }, 120_000)

  test("over a dedicated storage", async () => {
    const outcome = await run("dedicated", 7)
    expectZeros(outcome)
    expect(outcome.counts["flips"]).toBeGreaterThan(0)
  }, 120_000)

  test.each(["id", "time"] as const)("over a storage partitioned by %s", async (storage) => {
    const outcome = await run(storage, 5)
    expectZeros(outcome)
    expect(outcome.counts["partitions made"]).toBeGreaterThan(0)
  }, 120_000)

  test.each(Object.entries(mutants))("notices that %s", async (_, mutant) => {
    const outcome = await run("shared", 7, (pool) => breakInstallation(pool, mutant))
    expect(failed(outcome), JSON.stringify(outcome.counts)).toBe(true)
  }, 120_000)
})
