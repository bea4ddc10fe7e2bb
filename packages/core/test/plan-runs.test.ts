import { describe, expect, test } from "vitest"
import { planRuns } from "../src/schedules/plan-runs.ts"
import type { MissedRuns } from "../src/schedules/schedule-options.ts"
import { timetable, type Timing } from "../src/schedules/timetable.ts"

const S = 1000
const M = 60 * S
const H = 60 * M
const every = (ms: number, end: number | null = null): Timing => ({ cron: null, timezone: null, every: ms, anchor: 0, start: 0, end })

describe("runs that have come", () => {
  test.each<[what: string, timing: Timing, due: number, now: number, expected: Record<MissedRuns, [times: number[], next: number | null]>]>([
    ["one, in time", every(H), H, H, { skip: [[H], 2 * H], once: [[H], 2 * H], all: [[H], 2 * H] }],
    ["one, a minute late", every(H), H, H + M, { skip: [[H], 2 * H], once: [[H], 2 * H], all: [[H], 2 * H] }],
    ["one, later than that", every(H), H, H + M + 1, { skip: [[], 2 * H], once: [[H], 2 * H], all: [[H], 2 * H] }],
    ["three, the last in time", every(H), H, 3 * H + 1, { skip: [[3 * H], 4 * H], once: [[3 * H], 4 * H], all: [[H, 2 * H, 3 * H], 4 * H] }],
    ["three, the last missed too", every(H), H, 3.5 * H, { skip: [[], 4 * H], once: [[3 * H], 4 * H], all: [[H, 2 * H, 3 * H], 4 * H] }],
    ["three of every second", every(S), S, 3 * S + 10, { skip: [[3 * S], 4 * S], once: [[3 * S], 4 * S], all: [[S, 2 * S, 3 * S], 4 * S] }],
    ["more than a step sends", every(S), S, 9 * S, { skip: [[9 * S], 10 * S], once: [[9 * S], 10 * S], all: [[S, 2 * S, 3 * S, 4 * S], 5 * S] }],
    ["the last before the end", every(H, 3 * H), 2 * H, 2 * H, { skip: [[2 * H], null], once: [[2 * H], null], all: [[2 * H], null] }],
    ["all there were until the end", every(H, 3 * H), H, 9 * H, { skip: [[], null], once: [[2 * H], null], all: [[H, 2 * H], null] }],
  ])("%s", (_, timing, due, now, expected) => {
    for (const [missed, [times, next]] of Object.entries(expected)) {
      expect(planRuns(timetable(timing), missed as MissedRuns, due, now, 4), missed).toEqual({ times, next })
    }
  })

  test("are found among a year of seconds by few questions, whatever the pattern", () => {
    const due = Date.parse("2026-01-01T00:00:00Z")
    const now = Date.parse("2027-01-01T00:00:00.500Z")
    for (const cron of ["* * * * * *", "*/7 * * * * *", "30 2 * * *", "0 0 29 2 *", "0 0 1 1 *"]) {
      const nextRun = timetable({ ...every(1), cron, timezone: "Europe/Berlin", every: null })
      const first = nextRun(due - 1)!
      if (first > now) continue
      let asked = 0
      const counted = (after: number): number | null => {
        asked++
        return nextRun(after)
      }
      const { times: [last], next } = planRuns(counted, "once", first, now, 100)
      expect(asked, cron).toBeLessThan(50)
      expect(nextRun(last! - 1), cron).toBe(last)
      expect(next! > now && last! <= now, cron).toBe(true)
      expect(nextRun(last!), cron).toBe(next)
    }
  })
})
