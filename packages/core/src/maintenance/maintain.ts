import type { SqlValue } from "../driver.ts"
import { sleep } from "../sleep.ts"
import type { Session, Statement } from "../session.ts"
import { RestoredElsewhereError, StreamNotFoundError } from "../stream-errors.ts"

/** What a round of maintenance did. All zero: there was nothing to do, or another process is at it. */
export interface MaintenanceReport {
  /** False where another process had just begun a round. */
  readonly ran: boolean
  /** Queues whose floor was looked after. */
  readonly swept: number
  /** Messages that lay below a floor, ready again: late commits, rollbacks, steps of the clock. */
  readonly found: number
  /** Messages that a flip moved to the other segment. */
  readonly moved: number
  /** Segments that were truncated at the end of a flip. */
  readonly truncated: number
  /** Partitions made ahead. */
  readonly partitionsMade: number
  /** Rows that were moved out of a default partition. */
  readonly rowsMoved: number
  /** Partitions dropped: empty ones, and those whose retention is over. */
  readonly partitionsDropped: number
  /** Messages that nobody had settled, dropped with their partition because the queue says `unread: "drop"`. */
  readonly unreadDropped: number
  /** Archived messages gone because of a retention. */
  readonly archivedDropped: number
  /** Messages that senders left behind in queues that were dropped. */
  readonly strays: number
  /** Keys of `client.once` whose time to be kept is over. */
  readonly keysExpired: number
  /** Messages that schedules sent. */
  readonly fired: number
  /** Schedules that could not send; `schedules.list` says why. */
  readonly misfired: number
  /** Ticks of streams. */
  readonly ticks: number
  /** Segments of streams that became current, and that were emptied. */
  readonly rotated: number
  readonly emptied: number
  /** Ended batches of subscriptions that were forgotten. */
  readonly batchesCleared: number
  /** Subscriptions that lag behind by more than their limit, and block the rotation of their streams. */
  readonly stuck: number
  /** Subscriptions that expired in this round. */
  readonly expired: number
  /** Steps that did not get their lock within 50 ms. They are tried again later; it cost nobody anything. */
  readonly refused: number
}

export type Counts = { -readonly [K in keyof MaintenanceReport]: MaintenanceReport[K] }

export interface RoundOptions {
  /** Milliseconds; a round that another process began less long ago is enough. */
  readonly pause: number
  /** Looks at every queue, not only at those that have a floor. */
  readonly all: boolean
  /** Dead rows in a segment that make a flip pay. */
  readonly flipAfter: number
  /** Milliseconds between two flips of one storage. */
  readonly flipPause: number
}

interface Step {
  readonly did: "nothing" | "busy" | "waits" | "refused" | "begun" | "moved" | "drained" | "reopened" | "truncated" | "make" | "move" | "drop"
  readonly count?: number
  readonly after?: string
  readonly table?: string
}

const asking = (name: string, call: string): Statement => ({ name, text: `select (answer->'fault')::text as fault, answer::text as answer from {schema}.${call} answer` })

const statements = {
  maintain: asking("maintain", "maintain($1::float8 * interval '1 millisecond', $2::int4, $3::int4, $4::float8 * interval '1 millisecond')"),
  flip: asking("flip_step", "flip_step($1::int4, $2::int4, $3::float8 * interval '1 millisecond', $4::text::tid)"),
  due: { name: "due_partitions", text: "select steps::text as answer from {schema}.due_partitions() steps" },
  partition: asking("partition_step", "partition_step($1::text, $2::text, $3::float8::bigint)"),
  expire: { name: "expire_archive", text: "select {schema}.expire_archive()::text as answer" },
  keys: { name: "expire_once", text: "select {schema}.expire_once()::text as answer" },
  tick: { name: "tick_due", text: "select fault::text as fault, tick::text as tick from {schema}.try_tick($1::text, false, null, null)" },
  rotate: { name: "rotate_step", text: "select fault::text as fault, did from {schema}.rotate_step($1::text)" },
  batches: { name: "clear_batches", text: "select {schema}.clear_batches()::text as answer" },
  lags: { name: "check_lags", text: "select stream, subscription, age, events::float8 as events, bytes::float8 as bytes, expired, next from {schema}.check_lags($1::int4)" },
  strays: { name: "clear_leftovers", text: "select {schema}.clear_leftovers()::text as answer" },
}

export const noCounts = (): Counts => ({
  ran: false, swept: 0, found: 0, moved: 0, truncated: 0, partitionsMade: 0, rowsMoved: 0, partitionsDropped: 0, unreadDropped: 0, archivedDropped: 0, strays: 0, keysExpired: 0, fired: 0, misfired: 0, ticks: 0, rotated: 0, emptied: 0, batchesCleared: 0, stuck: 0, expired: 0, refused: 0,
})

async function ask<T, Tx>(session: Session<Tx>, { name, text }: Statement, values: readonly SqlValue[]): Promise<T> {
  const rows = await session.run<{ answer: string }>({ name, text }, values)
  return JSON.parse(rows[0]!.answer) as T
}

interface Sweep {
  readonly busy: boolean
  readonly swept: number
  readonly found: number
  /** The last queue of a page; null where it was the last one. */
  readonly next: number | null
  /** Storages with a flip to drive; with the last page, and not where another process is at it. */
  readonly flips?: number[]
  readonly streams?: readonly DueStream[] | null
}

interface DueStream {
  readonly stream: string
  readonly tick: boolean
  readonly rotate: boolean
}

/** A subscription that lags behind by more than its limit. */
export interface StuckSubscription {
  readonly stream: string
  readonly subscription: string
  /** Milliseconds: the age of the oldest event that it has not done with. */
  readonly age: number
  readonly events: number
  readonly bytes: number
  /** It has expired by now, and blocks nothing more. */
  readonly expired: boolean
}

/** When to look again at a stream whose rotation is held up. */
export type Rotations = Map<string, number>
const ROTATION_PAUSE = 5000

function sweep<Tx>(session: Session<Tx>, { flipAfter, flipPause }: RoundOptions, pause: number, after: number | null): Promise<Sweep> {
  return ask(session, statements.maintain, [pause, after, flipAfter, flipPause])
}

/** Sweeps, then drives the flips that are due, each step a transaction of its own: whoever is killed leaves a state to carry on from. Returns why no stream could be looked after. */
export async function quickRound<Tx>(session: Session<Tx>, options: RoundOptions, counts: Counts, signal: AbortSignal, rotations: Rotations): Promise<RestoredElsewhereError | undefined> {
  let page = await sweep(session, options, options.pause, options.all ? 0 : null)
  while (!page.busy) {
    counts.ran = true
    counts.swept += page.swept
    counts.found += page.found
    if (page.next === null || signal.aborted) break
    // Page by page: each holds a lock for every queue it looks at.
    page = await sweep(session, options, 0, page.next)
  }
  for (const storage of page.flips ?? []) await flip(session, storage, options, counts, signal)
  for (const due of page.streams ?? []) {
    const fault = await keepStream(session, due, counts, signal, rotations)
    if (fault !== undefined) return fault
  }
  return undefined
}

/** Each step a transaction of its own: a tick is a snapshot. */
async function keepStream<Tx>(session: Session<Tx>, { stream, tick, rotate }: DueStream, counts: Counts, signal: AbortSignal, rotations: Rotations): Promise<RestoredElsewhereError | undefined> {
  try {
    if (tick && !signal.aborted) {
      const [row] = await session.run<{ tick: string | null }>(statements.tick, [stream])
      if (row!.tick !== null) counts.ticks++
    }
    const now = performance.now()
    if (!rotate || signal.aborted || now < (rotations.get(stream) ?? 0)) return undefined
    const [row] = await session.run<{ did: string }>(statements.rotate, [stream])
    if (row!.did === "rotated") counts.rotated++
    else if (row!.did === "truncated") counts.emptied++
    else rotations.set(stream, now + ROTATION_PAUSE)
    if (row!.did === "refused") counts.refused++
  } catch (error) {
    if (error instanceof RestoredElsewhereError) return error
    // Dropped meanwhile.
    if (!(error instanceof StreamNotFoundError)) throw error
  }
  return undefined
}

async function flip<Tx>(session: Session<Tx>, storage: number, { flipAfter, flipPause }: RoundOptions, counts: Counts, signal: AbortSignal): Promise<void> {
  let after: string | null = null
  while (!signal.aborted) {
    const step: Step = await ask(session, statements.flip, [storage, flipAfter, flipPause, after])
    after = step.after ?? null
    if (step.did === "moved") counts.moved += step.count ?? 0
    if (step.did === "truncated") counts.truncated++
    if (step.did === "refused") counts.refused++
    if (["nothing", "busy", "waits", "refused", "truncated"].includes(step.did)) return
  }
}

/** Partitions, retention, and what dropped queues left behind. */
export async function slowRound<Tx>(session: Session<Tx>, counts: Counts, signal: AbortSignal, onStuck: (stuck: StuckSubscription) => void): Promise<void> {
  for (const { step, parent, n } of await ask<{ step: string; parent: string; n: number }[], Tx>(session, statements.due, [])) {
    if (signal.aborted) return
    const started = performance.now()
    countStep(await ask<Step, Tx>(session, statements.partition, [step, parent, n]), parent, counts)
    // Rows were moved under a lock that writers of this table wait for: they come first now.
    if (step === "move") await sleep(4 * (performance.now() - started), signal)
  }
  counts.archivedDropped += await untilNone(session, statements.expire, signal)
  counts.keysExpired += await untilNone(session, statements.keys, signal)
  counts.strays += await untilNone(session, statements.strays, signal)
  counts.batchesCleared += await ask<number, Tx>(session, statements.batches, [])
  await checkLags(session, counts, signal, onStuck)
}

async function checkLags<Tx>(session: Session<Tx>, counts: Counts, signal: AbortSignal, onStuck: (stuck: StuckSubscription) => void): Promise<void> {
  for (let after: number | null = 0; after !== null && !signal.aborted; ) {
    const rows: (StuckSubscription & { readonly next: number | null })[] = await session.run(statements.lags, [after])
    after = null
    for (const { next, ...stuck } of rows) {
      if (next !== null) {
        after = next
        continue
      }
      if (stuck.expired) counts.expired++
      else counts.stuck++
      onStuck(stuck)
    }
  }
}

function countStep({ did, count = 0 }: Step, parent: string, counts: Counts): void {
  if (did === "refused") counts.refused++
  if (did === "make" || did === "move") counts.partitionsMade++
  if (did === "move") counts.rowsMoved += count
  if (did !== "drop") return
  counts.partitionsDropped++
  if (parent.startsWith("archive")) counts.archivedDropped += count
  else counts.unreadDropped += count
}

async function untilNone<Tx>(session: Session<Tx>, statement: Statement, signal: AbortSignal): Promise<number> {
  let all = 0
  while (!signal.aborted) {
    const count: number = await ask(session, statement, [])
    all += count
    if (count === 0) break
  }
  return all
}
