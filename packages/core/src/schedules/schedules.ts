import { page, type Page, type PageOptions } from "../admin/inspect.ts"
import { checkOptions, checkPrefix, validateName } from "../check.ts"
import type { SqlValue } from "../driver.ts"
import type { Session, Statement } from "../session.ts"
import type { TxOption } from "../types.ts"
import { decodeSchedule, type ScheduleInfo } from "./schedule-info.ts"
import { checkPreview, checkSubject, checkTiming, encodeSchedule, type PreviewOptions, type ScheduleOptions, type ScheduleTiming } from "./schedule-options.ts"
import { type Timing, timetable } from "./timetable.ts"

export interface ScheduleFilter<Tx> extends PageOptions<Tx> {
  readonly prefix?: string
}

/**
 * What sends messages by the clock of the server. Runs are sent by `client.maintenance()`, and by workers, in any number of
 * processes: each due time sends exactly one message. With `{ tx }` a call joins the caller's transaction.
 */
export interface Schedules<Tx = unknown> {
  /**
   * Makes the schedule or changes it in place. Repeat it at every start: the next run moves only where its timing changes, and what is paused
   * stays paused. Throws `QueueNotFoundError`, and `InvalidOptionError` and its like before any SQL.
   */
  upsert(name: string, schedule: ScheduleOptions, options?: TxOption<Tx>): Promise<ScheduleInfo>
  /** Throws `ScheduleNotFoundError`. */
  get(name: string, options?: TxOption<Tx>): Promise<ScheduleInfo>
  /** In order of name. */
  list(options?: ScheduleFilter<Tx>): Promise<Page<ScheduleInfo>>
  /** No runs until `resume`; one that was due and not sent yet is dropped. Throws `ScheduleNotFoundError`. */
  pause(name: string, options?: TxOption<Tx>): Promise<ScheduleInfo>
  /** Goes on with the first run from now; what would have run meanwhile was not missed. Throws `ScheduleNotFoundError`. */
  resume(name: string, options?: TxOption<Tx>): Promise<ScheduleInfo>
  /** Returns whether there was one. Messages it sent stay. */
  remove(name: string, options?: TxOption<Tx>): Promise<boolean>
  /** Sends its message at once, paused or not, and returns the id. The next run stays. Throws `ScheduleNotFoundError`. */
  runNow(name: string, options?: TxOption<Tx>): Promise<string>
  /** The next runs of a stored schedule, as though nothing were paused or missed, or of a timing to try, which takes no SQL. */
  preview(schedule: string | ScheduleTiming, options?: PreviewOptions & TxOption<Tx>): Promise<Date[]>
}

const statements = {
  upsert: { name: "upsert_schedule", text: "select fault::text as fault, info::text as info, plan::text as plan from {schema}.try_upsert_schedule($1::text, $2::text::jsonb, $3::float8, $4::float8)" },
  resume: { name: "resume_schedule", text: "select fault::text as fault, info::text as info, plan::text as plan from {schema}.try_resume_schedule($1::text, $2::float8, $3::float8)" },
  get: { name: "get_schedule", text: "select fault::text as fault, info::text as info, now from {schema}.try_get_schedule($1::text)" },
  list: { name: "list_schedules", text: "select item::text as item from {schema}.list_schedules($1::text, $2::text, $3::int4) item" },
  pause: { name: "pause_schedule", text: "select fault::text as fault, info::text as info from {schema}.try_pause_schedule($1::text)" },
  remove: { name: "remove_schedule", text: "select {schema}.try_remove_schedule($1::text) as existed" },
  run: { name: "run_schedule", text: "select fault::text as fault, id::text as id, queue from {schema}.try_run_schedule($1::text)" },
}

/** `onSent` hears of a message, with the transaction it was sent in. */
export function createSchedules<Tx>(session: Session<Tx>, onSent: (queue: string, options: TxOption<Tx>) => void): Schedules<Tx> {
  const check = (name: string, options: object): void => {
    checkOptions(options, ["tx"], "options")
    validateName(name, "schedule")
  }
  return {
    upsert: async (name, schedule, options = {}) => {
      check(name, options)
      return untilPlanned(session, statements.upsert, [name, encodeSchedule(schedule, session.limits)], options)
    },
    get: async (name, options = {}) => {
      check(name, options)
      return decodeSchedule((await stored(session, name, options)).info)
    },
    list: async (options = {}) => {
      checkOptions(options, ["prefix", "limit", "after", "tx"], "options")
      if (options.after !== undefined && options.after !== null) checkPrefix(options.after, "after")
      const prefix = options.prefix === undefined ? null : checkPrefix(options.prefix, "prefix")
      return page(session, statements.list, [prefix], options, decodeSchedule, (schedule) => schedule.name)
    },
    pause: async (name, options = {}) => {
      check(name, options)
      const rows = await session.run<{ info: string }>(statements.pause, [name], options)
      return decodeSchedule(rows[0]!.info)
    },
    resume: async (name, options = {}) => {
      check(name, options)
      return untilPlanned(session, statements.resume, [name], options)
    },
    remove: async (name, options = {}) => {
      check(name, options)
      const rows = await session.run<{ existed: boolean }>(statements.remove, [name], options)
      return rows[0]!.existed
    },
    runNow: async (name, options = {}) => {
      check(name, options)
      const rows = await session.run<{ id: string; queue: string }>(statements.run, [name], options)
      onSent(rows[0]!.queue, options)
      return rows[0]!.id
    },
    preview: async (schedule, options = {}) => preview(session, schedule, options),
  }
}

async function stored<Tx>(session: Session<Tx>, name: string, options: TxOption<Tx>): Promise<{ info: string; now: number }> {
  const rows = await session.run<{ info: string; now: number }>(statements.get, [name], options)
  return rows[0]!
}

/** Cron is parsed here, time is the server's: where a next run has to be found, the first answer says from when on. */
async function untilPlanned<Tx>(session: Session<Tx>, statement: Statement, values: readonly SqlValue[], options: TxOption<Tx>): Promise<ScheduleInfo> {
  for (let plan: [from: number | null, next: number | null] = [null, null]; ; ) {
    const rows = await session.run<{ info: string | null; plan: string }>(statement, [...values, ...plan], options)
    const answer = rows[0]!
    if (answer.info !== null) return decodeSchedule(answer.info)
    const { from, ...timing } = JSON.parse(answer.plan) as Timing & { from: number }
    plan = [from, timetable(timing)(from)]
  }
}

async function preview<Tx>(session: Session<Tx>, schedule: string | ScheduleTiming, options: PreviewOptions & TxOption<Tx>): Promise<Date[]> {
  checkOptions(options, ["count", "from", "tx"], "options")
  const { count, from } = checkPreview(options)
  checkSubject(schedule)
  if (typeof schedule !== "string") {
    const now = from ?? Date.now()
    return runsAfter(checkTiming(schedule, "schedule", now), now, count)
  }
  validateName(schedule, "schedule")
  const { info, now } = await stored(session, schedule, options)
  return runsAfter(JSON.parse(info) as Timing, from ?? now, count)
}

function runsAfter(timing: Timing, from: number, count: number): Date[] {
  const nextRun = timetable(timing)
  const runs: number[] = []
  for (let run = nextRun(from); run !== null && runs.length < count; run = nextRun(run)) runs.push(run)
  return runs.map((run) => new Date(run))
}
