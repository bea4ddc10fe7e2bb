import { checkBoolean, checkInteger, checkOneOf, checkOptions } from "../check.ts"
import { type Duration, formatDuration, milliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"

/**
 * Where a queue keeps its messages. `"shared"`: with all others, right for nearly all. `"dedicated"`: in tables of its own, for
 * a very busy queue. `"unlogged"`: the same without write-ahead log; a crash of the server empties it, replicas never see it.
 */
export type QueueStorage = "shared" | "dedicated" | "unlogged"

interface PartitionPolicy {
  /**
   * What retention does with messages that nobody has settled. `"keep"`: their partition stays until they are. `"drop"`: they go
   * with it, and the report of the maintenance counts them. Default `"keep"`.
   */
  readonly unread?: "keep" | "drop"
  /** Whether this queue's archive is a table of its own, partitioned alike, its partitions dropped by the same retention. Default false. */
  readonly archive?: boolean
}

/** Ranges of this many messages. */
export interface PartitionById extends PartitionPolicy {
  readonly by: "id"
  /** Messages in a partition. */
  readonly interval: number
  /** A partition goes once this many messages were sent after its last. */
  readonly retention: number
}

/** Ranges of the time of sending. */
export interface PartitionByTime extends PartitionPolicy {
  readonly by: "time"
  /** One second or longer. */
  readonly interval: Duration
  /** A partition goes once its end is this long ago. */
  readonly retention: Duration
}

/** Cuts a dedicated storage into ranges that are dropped whole. */
export type Partition = PartitionById | PartitionByTime

export interface StorageOptions {
  readonly storage?: QueueStorage
  readonly partition?: Partition | null
}

/** As the database takes it: lengths of time as text with their unit. */
export function encodeStorage({ storage, partition }: StorageOptions): Record<string, unknown> {
  if (storage !== undefined) checkOneOf(storage, ["shared", "dedicated", "unlogged"], "storage")
  if (partition === undefined || partition === null) return { storage, partition }
  if (storage === "shared") throw new InvalidOptionError("storage", storage, `must be "dedicated" or "unlogged" where there is a partition`)
  checkOptions(partition, ["by", "interval", "retention", "unread", "archive"], "partition")
  const measure = checkOneOf(partition.by, ["id", "time"], "partition.by") === "id" ? messages : time
  return {
    storage,
    partition: {
      by: partition.by,
      interval: measure(partition.interval, "partition.interval", true),
      retention: measure(partition.retention, "partition.retention", false),
      unread: checkOneOf(partition.unread === undefined ? "keep" : partition.unread, ["keep", "drop"], "partition.unread"),
      archive: checkBoolean(partition.archive === undefined ? false : partition.archive, "partition.archive"),
    },
  }
}

/** At most 2^40 messages in a storage: their ids are its own. */
const messages = (value: unknown, field: string, positive: boolean): number => checkInteger(value, field, positive ? 1 : 0, 2 ** 40)

function time(value: unknown, field: string, positive: boolean): string {
  const ms = milliseconds(value as Duration, field)
  if (positive && ms < 1000) throw new InvalidOptionError(field, value, "must be 1s or longer")
  return `${ms} ms`
}

export interface StoredPartition {
  readonly by: "id" | "time"
  readonly interval: number
  readonly retention: number
  readonly unread: "keep" | "drop"
  readonly archive: boolean
}

export function decodePartition(stored: StoredPartition | null): Required<Partition> | null {
  if (stored === null || stored.by === "id") return stored as Required<PartitionById> | null
  return { ...stored, by: "time", interval: formatDuration(stored.interval), retention: formatDuration(stored.retention) }
}
