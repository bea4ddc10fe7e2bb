import { decodeBackoff, type StoredBackoff } from "./admin/backoff.ts"
import { decodeRate, type StoredRate } from "./admin/limits.ts"
import { decodePartition, type StoredPartition } from "./admin/storage-options.ts"
import { formatDuration } from "./duration.ts"
import {
  DeadLetterCycleError,
  DependencyFailedError,
  InvalidOptionError,
  IsolationLevelError,
  KeyConflictError,
  type OptionDifference,
  QueueAlreadyExistsError,
  QueueInUseError,
  QueueNotFoundError,
  QueueOptionsDifferError,
  SluiceError,
  StorageFixedError,
  WrongKindError,
} from "./errors.ts"
import { decodeLag, type StoredLag } from "./admin/streams.ts"
import { RestoredElsewhereError, StaleBatchError, StreamClosedError, StreamInUseError, StreamNotFoundError, SubscriptionExpiredError, SubscriptionNotFoundError, TickNotFoundError, TransactionLimitError } from "./stream-errors.ts"
import { ScheduleNotFoundError, WorkerNotFoundError, WorkerStateError } from "./work-errors.ts"

/** What a statement answers instead of raising, see the SQL function `queue_fault`. */
interface Fault {
  readonly code: string
  readonly queue: string
  readonly expected: string
  readonly actual: string
  readonly levels: number
  readonly index?: number
  readonly path: readonly string[]
  readonly differences: readonly OptionDifference[]
  readonly inFlight: number
  readonly deadLetterOf: readonly string[]
  readonly schedules: readonly string[]
  readonly schedule: string
  readonly stored: StoredStorage
  readonly requested: StoredStorage
  readonly argument: string
  readonly worker: string
  readonly from: string
  readonly to: string
  readonly key: string
  readonly id: string
  readonly kind?: "stream" | "subscription"
  readonly stream: string
  readonly subscription: string
  readonly subscriptions: readonly string[]
  readonly batch: string
  readonly at: number
  readonly limit: number
  readonly tick: string | number
  readonly external: boolean
  readonly field: string
  readonly table: string
  readonly tables: readonly string[]
  readonly reason: string
}

interface StoredStorage {
  readonly storage: string
  readonly partition: StoredPartition | null
}

const durations = new Set(["lease", "archiveRetention", "results", "rotationPeriod", "retention", "tickerMaxLag", "tickerIdlePeriod"])

/** Durations as their option is written: the database tells milliseconds. */
function readable(difference: OptionDifference): OptionDifference {
  const { option, stored, requested } = difference
  if (option === "partition") return { option, stored: decodePartition(stored as StoredPartition | null), requested: decodePartition(requested as StoredPartition | null) }
  if (option === "rateLimit" || option === "groupRateLimit") return { option, stored: decodeRate(stored as StoredRate | null), requested: decodeRate(requested as StoredRate | null) }
  if (option === "backoff") return { option, stored: decodeBackoff(stored as StoredBackoff | null), requested: decodeBackoff(requested as StoredBackoff | null) }
  if (option === "lagLimit") return { option, stored: decodeLag(stored as StoredLag | null), requested: decodeLag(requested as StoredLag | null) }
  if (!durations.has(option)) return difference
  const written = (ms: unknown): unknown => (ms === null ? null : formatDuration(ms as number))
  return { option, stored: written(stored), requested: written(requested) }
}

function readableStorage({ storage, partition }: StoredStorage): unknown {
  return { storage, partition: decodePartition(partition) }
}

/** The typed error for a refusal that came back as a row. */
export function errorFromFault(text: string): SluiceError {
  const fault = JSON.parse(text) as Fault
  switch (fault.code) {
    case "queue_not_found":
      return new QueueNotFoundError(fault.queue)
    case "queue_already_exists":
      return new QueueAlreadyExistsError(fault.queue, fault.kind)
    case "wrong_kind":
      return new WrongKindError(fault.queue, fault.expected, fault.actual)
    case "options_differ":
      return new QueueOptionsDifferError(fault.queue, fault.differences.map(readable), fault.kind, fault.stream)
    case "dead_letter_cycle":
      return new DeadLetterCycleError(fault.queue, fault.path)
    case "storage_fixed":
      return new StorageFixedError(fault.queue, readableStorage(fault.stored), readableStorage(fault.requested))
    case "queue_in_use":
      return new QueueInUseError(fault.queue, fault.inFlight, fault.deadLetterOf, fault.schedules)
    case "key_conflict":
      return new KeyConflictError(fault.queue, fault.key, fault.id, fault.index)
    case "dependency_failed":
      return new DependencyFailedError(fault.queue, fault.id)
    case "no_groups":
      return new InvalidOptionError(fault.index === undefined ? "group" : `items[${fault.index}].group`, undefined, `"${fault.queue}" has no groups: set fifo, fair, groupConcurrency or another limit with client.admin.updateQueue("${fault.queue}", { … })`)
    case "schedule_not_found":
      return new ScheduleNotFoundError(fault.schedule)
    case "worker_not_found":
      return new WorkerNotFoundError(fault.worker)
    case "worker_state":
      return new WorkerStateError(fault.worker, fault.from, fault.to)
    case "later_ref":
      return new InvalidOptionError(`items[${fault.index}].after`, undefined, `"${fault.queue}" is fifo: by ref an item can only wait for one before it in the batch`)
    case "isolation":
      return new IsolationLevelError(fault.actual)
    case "invalid_argument":
      return new InvalidOptionError(fault.argument, undefined, "is for the shared archive: this queue has its own, which goes by partition.retention")
    case "nothing_died":
      return new InvalidOptionError("queue", fault.queue, `nothing died in "${fault.queue}", where ${fault.deadLetterOf.join(", ")} bury their dead: name the queue that they died in`)
    case "stream_not_found":
      return new StreamNotFoundError(fault.queue)
    case "subscription_not_found":
      return new SubscriptionNotFoundError(fault.stream, fault.subscription)
    case "stale_batch":
      return new StaleBatchError(fault.stream, fault.subscription, fault.batch)
    case "subscription_expired":
      return new SubscriptionExpiredError(fault.stream, fault.subscription, new Date(fault.at))
    case "stream_in_use":
      return new StreamInUseError(fault.stream, fault.subscriptions, fault.tables)
    case "stream_closed":
      return new StreamClosedError(fault.stream)
    case "transaction_limit":
      return new TransactionLimitError(fault.stream, fault.limit)
    case "tick_not_found":
      return new TickNotFoundError(fault.stream, String(fault.tick))
    case "other_cluster":
      return new RestoredElsewhereError(fault.stored as unknown as string, fault.actual)
    case "ticker":
      return new InvalidOptionError("stream", fault.stream, fault.external ? `"${fault.stream}" has an external ticker: use externalTick` : `"${fault.stream}" ticks by itself: set externalTicker with client.admin.updateStream("${fault.stream}", { … })`)
    case "capture":
      return new InvalidOptionError(fault.field, fault.table, `${fault.table} ${fault.reason}`)
    case "priority":
      return new InvalidOptionError(
        fault.index === undefined ? "priority" : `items[${fault.index}].priority`,
        fault.actual,
        `must be from 0 to ${fault.levels - 1}, since "${fault.queue}" has ${fault.levels} level(s), got ${fault.actual}`,
      )
    default:
      return new SluiceError(fault.code, `The database answered ${text}`)
  }
}
