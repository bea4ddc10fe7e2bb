import { checkOneOf, checkOptions } from "../check.ts"
import { type Duration, formatDuration, milliseconds } from "../duration.ts"
import { checkWorkerName } from "../registry/check-identity.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"
import { count, page, type Page, type PageOptions, queueFilter } from "./inspect.ts"

/** What a worker was told to be; `stopped` once it has left, or was told to stop while it was stale. */
export type WorkerState = "running" | "suspended" | "stopping" | "stopped"

export interface WorkerInfo {
  readonly name: string
  readonly hostname: string | null
  readonly port: number | null
  readonly queues: readonly string[]
  readonly state: WorkerState
  /** It has not stopped, and three beats are missing. Its leases have run out, or soon will. */
  readonly stale: boolean
  /** Messages that it held at its last beat. */
  readonly held: number
  readonly startedAt: Date
  readonly beatAt: Date
  /** Since when it is asked to stop; else null. */
  readonly shutdownAt: Date | null
  /** From one beat to the next. */
  readonly every: Duration
}

export interface WorkerFilter<Tx> extends TxOption<Tx> {
  /** Only workers of this queue. */
  readonly queue?: string
  readonly state?: WorkerState
}

/** `total` is the sum of the four states. */
export interface WorkerHealth extends Readonly<Record<WorkerState, number>> {
  readonly total: number
  /** Of those that have not stopped: those whose last beat is longer ago than three of their beats. */
  readonly stale: number
  /** Messages that those which have not stopped held at their last beats. */
  readonly held: number
  /** Of those that have not stopped, the last beat that is the longest ago; null where there is none. */
  readonly oldestBeatAt: Date | null
}

/** A `queue` that is not there gives `QueueNotFoundError`, a name that no worker has `WorkerNotFoundError`. */
export interface WorkersAccessor<Tx> {
  count(filter?: WorkerFilter<Tx>): Promise<number>
  get(name: string, options?: TxOption<Tx>): Promise<WorkerInfo>
  /** In order of name. */
  list(options?: WorkerFilter<Tx> & PageOptions<Tx>): Promise<Page<WorkerInfo>>
  health(filter?: Pick<WorkerFilter<Tx>, "queue" | "tx">): Promise<WorkerHealth>
  /** From its next beat on it claims no more, and gives back what it has not begun; its handlers finish. Lasts until `resume`, or its next start. Throws `WorkerStateError` where it stops or has stopped. */
  suspend(name: string, options?: TxOption<Tx>): Promise<WorkerInfo>
  /** Of one that runs it is nothing. Throws `WorkerStateError` where it stops or has stopped. */
  resume(name: string, options?: TxOption<Tx>): Promise<WorkerInfo>
  /** Has it stop, as `worker.stop` does, at its next beat; in whatever state it is, holding messages or not. A stale one is `stopped` now, and told so should it live after all. */
  shutdown(name: string, options?: TxOption<Tx>): Promise<WorkerInfo>
  /** Forgets workers that have stopped, and stale ones, whose last beat is this long ago; returns their names. One that lives is there again at its next beat. Maintenance does it too: an hour after they stopped, a day after a last beat. */
  purge(options?: PurgeWorkersOptions<Tx>): Promise<string[]>
}

export interface PurgeWorkersOptions<Tx> extends TxOption<Tx> {
  /** Default "1h". */
  readonly olderThan?: Duration
}

const statements = {
  count: { name: "count_workers", text: "select fault::text as fault, count::float8 as count from {schema}.try_count_workers($1::text, $2::text)" },
  list: { name: "list_workers", text: "select fault::text as fault, item::text as item from {schema}.try_list_workers($1::text, $2::text, $3::text, $4::int4)" },
  get: { name: "get_worker", text: "select fault::text as fault, info::text as info from {schema}.try_get_worker($1::text)" },
  health: { name: "worker_health", text: "select fault::text as fault, info::text as info from {schema}.try_worker_health($1::text)" },
  tell: { name: "tell_worker", text: "select fault::text as fault, info::text as info from {schema}.try_tell_worker($1::text, $2::text)" },
  purge: { name: "purge_workers", text: "select name from {schema}.purge_workers($1::float8 * interval '1 millisecond') name" },
}

const states = ["running", "suspended", "stopping", "stopped"] as const

export function workersAccessor<Tx>(session: Session<Tx>): WorkersAccessor<Tx> {
  const filters = ({ queue, state }: WorkerFilter<Tx>): (string | null)[] => [queueFilter(queue), state === undefined ? null : checkOneOf(state, states, "state")]
  const tell = async (name: string, to: WorkerState, options: TxOption<Tx>): Promise<WorkerInfo> => {
    checkOptions(options, ["tx"], "options")
    const rows = await session.run<{ info: string }>(statements.tell, [checkWorkerName(name), to], options)
    return decodeWorker(rows[0]!.info)
  }
  return {
    count: async (filter = {}) => {
      checkOptions(filter, ["queue", "state", "tx"], "filter")
      return count(session, statements.count, filters(filter), filter)
    },
    get: async (name, options = {}) => {
      checkOptions(options, ["tx"], "options")
      const rows = await session.run<{ info: string }>(statements.get, [checkWorkerName(name)], options)
      return decodeWorker(rows[0]!.info)
    },
    list: async (options = {}) => {
      checkOptions(options, ["queue", "state", "limit", "after", "tx"], "options")
      if (options.after !== undefined && options.after !== null) checkWorkerName(options.after, "after")
      return page(session, statements.list, filters(options), options, decodeWorker, (worker) => worker.name)
    },
    health: async (filter = {}) => {
      checkOptions(filter, ["queue", "tx"], "filter")
      const rows = await session.run<{ info: string }>(statements.health, [queueFilter(filter.queue)], filter)
      const health = JSON.parse(rows[0]!.info) as Omit<WorkerHealth, "oldestBeatAt"> & { oldestBeatAt: number | null }
      return { ...health, oldestBeatAt: date(health.oldestBeatAt) }
    },
    suspend: async (name, options = {}) => tell(name, "suspended", options),
    resume: async (name, options = {}) => tell(name, "running", options),
    shutdown: async (name, options = {}) => tell(name, "stopping", options),
    purge: async (options = {}) => {
      checkOptions(options, ["olderThan", "tx"], "options")
      const { olderThan = "1h" } = options
      const rows = await session.run<{ name: string }>(statements.purge, [milliseconds(olderThan, "olderThan")], options)
      return rows.map(({ name }) => name).sort()
    },
  }
}

const date = (ms: number | null): Date | null => (ms === null ? null : new Date(ms))

type StoredWorker = Omit<WorkerInfo, "startedAt" | "beatAt" | "shutdownAt" | "every"> & Record<"startedAt" | "beatAt" | "every", number> & { shutdownAt: number | null }

function decodeWorker(text: string): WorkerInfo {
  const { startedAt, beatAt, shutdownAt, every, ...info } = JSON.parse(text) as StoredWorker
  return { ...info, startedAt: new Date(startedAt), beatAt: new Date(beatAt), shutdownAt: date(shutdownAt), every: formatDuration(every) }
}
