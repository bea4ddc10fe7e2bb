import { existsSync } from "node:fs"
import { startPgBouncer } from "@sluice/testkit"
import type { Combination, Outcome } from "./combination.ts"
import { showProgress } from "./progress.ts"
import { runCombination } from "./run-combination.ts"

/** Each is one busy process beside its server's. */
const atOnce = 2

export interface MatrixResult {
  /** In the order of the combinations. */
  readonly outcomes: readonly Outcome[]
  /** Why modes were skipped that this machine could have run. */
  readonly avoidable?: string
}

export async function runMatrix(
  combinations: readonly Combination[],
  url: string,
  groups: readonly string[] | undefined,
): Promise<MatrixResult> {
  const progress = showProgress(combinations.length)
  const bouncer = combinations.some(({ place }) => place === "pgbouncer")
    ? await startPgBouncer({ serverUrl: url, poolSize: 20 })
    : undefined
  const urls = { "server": url, "in-process": "", "pgbouncer": bouncer?.url ?? "" }
  const outcomes: Outcome[] = []
  const waiting = [...combinations.entries()]
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [i, { adapter, mode, place, drizzle }] = next
      const label = `${adapter}, ${mode}`
      progress.begin(label)
      if (place === "pgbouncer" && bouncer?.url === null) outcomes[i] = { adapter, mode, ms: 0, skipped: bouncer.reason }
      else outcomes[i] = await runCombination({ adapter, mode, url: urls[place], groups }, drizzle, () => progress.step(label))
      progress.end(outcomes[i])
    }
  }
  try {
    await Promise.all(Array.from({ length: atOnce }, lane))
  } finally {
    if (bouncer?.url) await bouncer.stop()
  }
  return { outcomes, avoidable: bouncer?.url === null && couldInstall() ? bouncer.reason : undefined }
}

/** Root on Debian has what it takes to install PgBouncer. */
function couldInstall(): boolean {
  return process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")
}
