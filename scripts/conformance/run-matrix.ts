import { existsSync } from "node:fs"
import { availableParallelism } from "node:os"
import { type GroupName, groups as allGroups } from "@sluice/conformance"
import { startPgBouncer } from "@sluice/testkit"
import { type Combination, hops, type Outcome, type Task } from "./combination.ts"
import { driverGroups, slowGroups, slowModes } from "./places.ts"
import { showProgress } from "./progress.ts"
import { runCombination } from "./run-combination.ts"

/** Cases wait about as long as they work. */
const atOnce = 2 * availableParallelism()

export interface MatrixResult {
  /** In the order of the combinations. */
  readonly outcomes: readonly Outcome[]
  /** Why modes were skipped that this machine could have run. */
  readonly avoidable?: string
}

export interface MatrixOptions {
  /** Default: all that mean anything in a mode, without what another line runs. */
  readonly groups?: readonly string[]
  /** Leaves nothing to another line. */
  readonly full: boolean
}

export async function runMatrix(
  combinations: readonly Combination[],
  url: string,
  options: MatrixOptions,
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
      const [i, combination] = next
      const { adapter, mode, place, drizzle } = combination
      const { groups, ...notRun } = selectGroups(combination, options)
      const label = `${adapter}, ${mode}`
      progress.begin(label)
      if (place === "pgbouncer" && bouncer?.url === null) outcomes[i] = { adapter, mode, ms: 0, skipped: bouncer.reason }
      else if (groups.length === 0 && notRun.left?.length) outcomes[i] = { adapter, mode, ms: 0, ...notRun }
      else {
        const task = { adapter, mode, url: urls[place], groups }
        outcomes[i] = { ...(await runCombination(task, drizzle, () => progress.step(label))), ...notRun }
      }
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

function selectGroups({ adapter, mode, only, brief }: Combination, options: MatrixOptions): Selected {
  if (adapter === hops.adapter) return { groups: [] }
  const asked = allGroups.map(({ name }) => name).filter((name) => options.groups?.includes(name) ?? true)
  const possible = asked.filter((name) => only?.groups.includes(name) ?? true)
  const whole = options.full || options.groups !== undefined
  const runs = [...driverGroups, ...(Array.isArray(brief) ? brief : [])]
  const spared = (name: GroupName): boolean => !whole && ((Boolean(brief) && !runs.includes(name)) || (slowGroups.includes(name) && !slowModes.includes(mode)))
  const groups = possible.filter((name) => !spared(name))
  const without = only && { groups: asked.filter((name) => !possible.includes(name)), because: only.because }
  return { groups, left: possible.filter((name) => !groups.includes(name)), without }
}

type Selected = Pick<Task, "groups"> & Pick<Outcome, "left" | "without">

/** Root on Debian has what it takes to install PgBouncer. */
function couldInstall(): boolean {
  return process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")
}
