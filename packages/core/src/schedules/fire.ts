import { ConnectionError } from "../errors.ts"
import type { Session, Statement } from "../session.ts"
import { planRuns } from "./plan-runs.ts"
import type { MissedRuns } from "./schedule-options.ts"
import { type Timing, timetable } from "./timetable.ts"

interface DueSchedule extends Timing {
  readonly name: string
  readonly missed: MissedRuns
  readonly next: number
  /** Of its payload. */
  readonly bytes: number
}

interface Due {
  readonly now: number
  /** Milliseconds until the next schedule is due; null where there is none. */
  readonly wait: number | null
  readonly due: readonly DueSchedule[]
}

export interface Fired {
  /** Messages sent. */
  readonly sent: number
  /** Schedules that could not send. */
  readonly failed: number
  /** Milliseconds until the next schedule is due: 0 where some still are. */
  readonly wait: number | null
  /** Where the next look may start, in milliseconds: nothing was left due before. Null where something was. */
  readonly from: number | null
}

const statements = {
  due: { name: "due_schedules", text: "select {schema}.due_schedules($1::float8, $2::int4)::text as answer" },
  fire: { name: "fire_schedule", text: "select (answer->'fault')::text as fault, answer::text as answer from {schema}.fire_schedule($1::text, $2::float8, $3::text::float8[], $4::float8, $5::text) answer" },
} satisfies Record<string, Statement>

/** Schedules of one look. */
const PAGE = 100
/** Runs that a step sends of one schedule, and bytes of payload beyond which it sends no more. */
const RUNS = 100
const BYTES = 8 * 1024 * 1024
/** A schedule may be committed this much later than its first run was due, and still be seen by the next look. */
const MARGIN = 1000

/**
 * One look at what is due, and a transaction for each schedule that is. Who else looks at the same time plans the same runs:
 * whoever comes first moves `next_at` on in the statement that sends, and the others change nothing.
 */
export async function fireDue<Tx>(session: Session<Tx>, wake: (queue: string) => void, from: number | null, signal: AbortSignal): Promise<Fired> {
  const looked = await session.run<{ answer: string }>(statements.due, [from, PAGE])
  const { now, wait, due } = JSON.parse(looked[0]!.answer) as Due
  const all = { sent: 0, failed: 0, behind: false, lost: 0 }
  for (const schedule of due) {
    if (signal.aborted) break
    const { did, queue, sent, behind } = await fire(session, schedule, now)
    if (did === "lost") all.lost++
    if (did === "failed") all.failed++
    if (behind) all.behind = true
    all.sent += sent
    if (sent > 0) wake(queue)
  }
  const behind = all.behind || (due.length === PAGE && all.lost < PAGE)
  return { sent: all.sent, failed: all.failed, wait: behind ? 0 : wait, from: behind || all.lost > 0 ? null : now - MARGIN }
}

interface Step {
  readonly did: "fired" | "failed" | "lost"
  readonly queue: string
}

interface Outcome extends Step {
  readonly sent: number
  readonly behind: boolean
}

async function fire<Tx>(session: Session<Tx>, { name, missed, next: due, bytes, ...timing }: DueSchedule, now: number): Promise<Outcome> {
  const ask = async (times: readonly number[], next: number | null, error: string | null): Promise<Step> => {
    const rows = await session.run<{ answer: string }>(statements.fire, [name, due, `{${times.join(",")}}`, next, error])
    return JSON.parse(rows[0]!.answer) as Step
  }
  try {
    const { times, next } = planRuns(timetable(timing), missed, due, now, Math.max(1, Math.min(RUNS, Math.floor(BYTES / bytes))))
    const step = await ask(times, next, null)
    const fired = step.did === "fired"
    return { ...step, sent: fired ? times.length : 0, behind: fired && next !== null && next <= now }
  } catch (error) {
    if (error instanceof ConnectionError) throw error
    // A parser or a time zone that this process lacks, a timeout of the server's: said, and others come first.
    return { ...(await ask([], null, error instanceof Error ? error.message : String(error))), sent: 0, behind: false }
  }
}
