import type { Contestant } from "../contestant.ts"
import { formatNumber, formatRatio } from "../format-number.ts"
import { createOutcome, type Outcome } from "../outcome.ts"
import { type Counters, consume, produce } from "../pinned/load.ts"
import { withPinnedHorizon } from "../pinned/pin-horizon.ts"
import { sizeOfTables, watch, type Window } from "../pinned/watch.ts"
import { allOf } from "../repeat.ts"
import { withClient } from "../with-client.ts"
import { withSessions } from "../with-sessions.ts"
import type { Bench, Place, Workload } from "../workload.ts"

const perSecond = 2000
const windowCount = 5
const readers = "bench reader"

export const pinned: Workload = {
  name: "pinned",
  about: `${perSecond} messages a second and two readers, while an old transaction pins the horizon; one contestant after the other`,
  async run(bench) {
    const runs: PinnedRun[] = []
    for (const contestant of bench.contestants) {
      const run = await runPinned(bench, contestant)
      runs.push(run)
      bench.log(`pinned: ${contestant.name} ${run.windows.map((window) => `${formatNumber(window.consumedPerSecond)}/s`).join(", ")}`)
    }
    return summarise(runs)
  },
}

interface PinnedRun {
  readonly contestant: string
  readonly sizeAtStart: number
  readonly windows: readonly Window[]
  /** Of the last window to the first. */
  readonly ratios: Readonly<Partial<Record<keyof Window, number>>>
}

async function runPinned(bench: Bench, contestant: Contestant): Promise<PinnedRun> {
  const place = await bench.createPlace(contestant)
  const options = { seconds: bench.pinnedSeconds, windows: windowCount, readers }
  return withClient(place.url, async (client) => {
    const sizeAtStart = await sizeOfTables(client)
    const windows = await withPinnedHorizon(place.url, () =>
      underLoad(bench, place, (counters, stop) => watch(client, counters, { ...options, stop })),
    )
    return { contestant: contestant.name, sizeAtStart, windows, ratios: ratiosOf(windows) }
  })
}

/** Runs `work` beside a producer, two readers, and what the contestant wants to run beside them. */
function underLoad<T>(bench: Bench, place: Place, work: (counters: Counters, stop: AbortSignal) => Promise<T>): Promise<T> {
  const one = { connections: 1 }
  const counters: Counters = { sent: 0, consumed: 0, readTimes: [] }
  const over = new AbortController()
  const stop = AbortSignal.any([bench.stop, over.signal])
  return withSessions(place, [one, { ...one, as: readers }, { ...one, as: readers }, one], async (producer, a, b, keeper) => {
    const endMaintenance = keeper!.maintain?.()
    const working = work(counters, stop)
    try {
      const load = [produce(producer!, perSecond, counters, stop), consume(a!, counters, stop), consume(b!, counters, stop)]
      // Whoever ends first, by an error or because the time is over, ends the others.
      await allOf([...load, working].map((task) => task.finally(() => over.abort())))
      return await working
    } finally {
      await endMaintenance?.()
    }
  }).catch((cause: unknown) => {
    bench.stop.throwIfAborted()
    throw new Error(`${place.contestant.name} failed: pinned`, { cause })
  })
}

const compared = ["consumedPerSecond", "readerCpu", "allCpu", "size", "readP50", "readP99"] as const

function ratiosOf(windows: readonly Window[]): PinnedRun["ratios"] {
  const [first, last] = [windows[0]!, windows.at(-1)!]
  return Object.fromEntries(compared.map((key) => [key, (last[key] ?? Number.NaN) / (first[key] ?? Number.NaN)]))
}

/** A line of the table. */
interface Line extends Partial<Window> {
  readonly contestant: string
  readonly when: string
  readonly isRatio?: boolean
}

function summarise(runs: readonly PinnedRun[]): Outcome {
  const lines = runs.flatMap(({ contestant, sizeAtStart, windows, ratios }): Line[] => [
    { contestant, when: "start", backlog: 0, size: sizeAtStart },
    ...windows.map((window) => ({ contestant, when: `${window.from.toFixed(0)} … ${window.to.toFixed(0)} s`, ...window })),
    { contestant, when: "last ÷ first", isRatio: true, ...ratios },
  ])
  const column = (key: keyof Window, unit: number = 1) => (line: Line): string => {
    const value = line[key]
    if (line.isRatio) return key === "backlog" || key === "deadRows" ? "" : formatRatio(value)
    return value === undefined && line.when === "start" ? "" : formatNumber(value && value / unit)
  }
  const columns = {
    "contestant": (line: Line) => line.contestant,
    "when": (line: Line) => line.when,
    "consumed/s": column("consumedPerSecond"),
    "readers µs/msg": column("readerCpu"),
    "all µs/msg": column("allCpu"),
    "backlog": column("backlog"),
    "size MB": column("size", 1e6),
    "dead rows": column("deadRows"),
    "read p50 ms": column("readP50"),
    "p99 ms": column("readP99"),
  }
  return { ...createOutcome(`Pinned: ${perSecond} messages a second under a pinned horizon (CPU of the server's backends)`, columns, lines), rows: runs }
}
