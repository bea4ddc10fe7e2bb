import { checkBoolean, checkInteger, checkOneOf, checkOptions, validateQueueName } from "../check.ts"
import { type Duration, formatDuration, milliseconds, positiveMilliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"
import { type Backoff, decodeBackoff, encodeBackoff, type StoredBackoff } from "./backoff.ts"
import { decodeRate, encodeLimits, type Limits, limitKeys, type StoredRate } from "./limits.ts"
import { decodePartition, encodeStorage, type StorageOptions } from "./storage-options.ts"

/** What can be set on a queue, at its creation or later. `storage`, and of `partition` all but `retention` and `unread`, are fixed at its creation. */
export interface QueueOptions extends StorageOptions, Limits {
  /** Levels of priority, 1 to 16. Default 4. */
  readonly levels?: number
  /** How long a reader holds a message unless it says otherwise. Default "30s". */
  readonly lease?: Duration
  /** Deliveries before a message is dead. Default 20; null is unlimited. */
  readonly maxAttempts?: number | null
  /** The queue that dead messages move to. Default null: they go to the archive, with outcome `dead`. */
  readonly deadLetter?: string | null
  /**
   * `"transaction"` puts a NOTIFY inside every sending transaction, so that readers wake at its commit whoever commits.
   * It makes all such commits of the whole cluster wait for one another. Default `"off"`.
   */
  readonly notify?: "off" | "transaction"
  /** How long archived messages are kept, give or take a day; maintenance drops them. Default null: for ever. */
  readonly archiveRetention?: Duration | null
  /** How long a failed message waits before its next attempt. Null: not at all. Default: exponential from "1s" to "10m". */
  readonly backoff?: Backoff | null
  /** What workers do with a message that is done. Default `"delete"`; `"archive"` keeps it, and cancelled ones too. */
  readonly done?: "delete" | "archive"
  /** How long what became of its messages is kept for `client.result`: what their handlers returned, or why there is none. Default null: not at all. */
  readonly results?: Duration | null
  /** What workers do with a message whose payload the schema refuses: dead-letter it at once (default), or let it fail, and be retried. */
  readonly onInvalid?: "deadLetter" | "raise"
}

export interface CreateQueueOptions<Tx> extends QueueOptions, TxOption<Tx> {
  /** `"error"` throws `QueueAlreadyExistsError` where there is such a queue. Default `"keep"`: found is as good as created. */
  readonly ifExists?: "keep" | "error"
}

export interface DropQueueOptions<Tx> extends TxOption<Tx> {
  /** Drops it though messages are in flight or other queues bury their dead here. Default false. */
  readonly force?: boolean
  /** Leaves its archived messages. Default false. */
  readonly keepArchive?: boolean
}

export interface QueueInfo extends Required<QueueOptions> {
  readonly id: string
  readonly name: string
  readonly createdAt: Date
  /** Since when no message is delivered, where the queue is paused; else null. */
  readonly pausedAt: Date | null
}

export interface CreatedQueueInfo extends QueueInfo {
  /** False where it had been there. */
  readonly created: boolean
}

const optionKeys = ["levels", "lease", "maxAttempts", "deadLetter", "notify", "archiveRetention", "storage", "partition", "backoff", "done", "onInvalid", "results", ...limitKeys] as const

const statements = {
  create: { name: "create_queue", text: "select fault::text as fault, created, info::text as info from {schema}.try_create_queue($1::text, $2::text::jsonb, $3::bool)" },
  update: { name: "update_queue", text: "select fault::text as fault, info::text as info from {schema}.try_update_queue($1::text, $2::text::jsonb)" },
  get: { name: "get_queue", text: "select fault::text as fault, info::text as info from {schema}.try_get_queue($1::text)" },
  pause: { name: "pause_queue", text: "select fault::text as fault, info::text as info from {schema}.try_pause($1::text, $2::bool)" },
  drop: { name: "drop_queue", text: "select fault::text as fault, existed from {schema}.try_drop_queue($1::text, $2::bool, $3::bool)" },
}

export async function createQueue<Tx>(session: Session<Tx>, name: string, options: CreateQueueOptions<Tx>): Promise<CreatedQueueInfo> {
  validateQueueName(name)
  checkOptions(options, [...optionKeys, "ifExists", "tx"], "options")
  const mustBeNew = checkOneOf(options.ifExists === undefined ? "keep" : options.ifExists, ["keep", "error"], "ifExists") === "error"
  const values = [name, encodeQueueOptions(options, name), mustBeNew]
  const rows = await session.run<{ created: boolean; info: string }>(statements.create, values, options)
  return { ...decodeQueueInfo(rows[0]!.info), created: rows[0]!.created }
}

export async function updateQueue<Tx>(session: Session<Tx>, name: string, patch: QueueOptions, options: TxOption<Tx>): Promise<QueueInfo> {
  checkOptions(options, ["tx"], "options")
  checkOptions(patch, optionKeys, "patch")
  validateQueueName(name)
  const rows = await session.run<{ info: string }>(statements.update, [name, encodeQueueOptions(patch, name)], options)
  return decodeQueueInfo(rows[0]!.info)
}

export async function getQueue<Tx>(session: Session<Tx>, name: string, options: TxOption<Tx>): Promise<QueueInfo> {
  checkOptions(options, ["tx"], "options")
  validateQueueName(name)
  const rows = await session.run<{ info: string }>(statements.get, [name], options)
  return decodeQueueInfo(rows[0]!.info)
}

export async function pauseQueue<Tx>(session: Session<Tx>, name: string, paused: boolean, options: TxOption<Tx>): Promise<QueueInfo> {
  checkOptions(options, ["tx"], "options")
  validateQueueName(name)
  const rows = await session.run<{ info: string }>(statements.pause, [name, paused], options)
  return decodeQueueInfo(rows[0]!.info)
}

/** Returns whether there was such a queue. */
export async function dropQueue<Tx>(session: Session<Tx>, name: string, options: DropQueueOptions<Tx>): Promise<boolean> {
  checkOptions(options, ["force", "keepArchive", "tx"], "options")
  validateQueueName(name)
  const force = checkBoolean(options.force ?? false, "force")
  const keepArchive = checkBoolean(options.keepArchive ?? false, "keepArchive")
  const rows = await session.run<{ existed: boolean }>(statements.drop, [name, force, keepArchive], options)
  return rows[0]!.existed
}

/** Only what was given: an option that is left out is neither compared nor changed. */
function encodeQueueOptions(options: QueueOptions, name: string): string {
  const { levels, lease, maxAttempts, deadLetter, notify, archiveRetention, done, onInvalid } = options
  if (levels !== undefined) checkInteger(levels, "levels", 1, 16)
  const leaseMs = lease === undefined ? undefined : positiveMilliseconds(lease, "lease")
  if (maxAttempts !== undefined && maxAttempts !== null) checkInteger(maxAttempts, "maxAttempts", 1, 2_147_483_647)
  if (deadLetter !== undefined && deadLetter !== null) validateQueueName(deadLetter)
  if (deadLetter === name) throw new InvalidOptionError("deadLetter", deadLetter, "must be another queue")
  if (notify !== undefined) checkOneOf(notify, ["off", "transaction"], "notify")
  if (done !== undefined) checkOneOf(done, ["delete", "archive"], "done")
  if (onInvalid !== undefined) checkOneOf(onInvalid, ["deadLetter", "raise"], "onInvalid")
  const keptMs = archiveRetention === undefined || archiveRetention === null ? archiveRetention : milliseconds(archiveRetention, "archiveRetention")
  if (typeof keptMs === "number" && keptMs < 1) throw new InvalidOptionError("archiveRetention", archiveRetention, "must be 1ms or longer; to keep no archive, settle with delete")
  if (keptMs && options.partition?.archive) {
    throw new InvalidOptionError("archiveRetention", archiveRetention, "is for the shared archive: one of the queue's own goes by partition.retention")
  }
  const resultMs = options.results === undefined || options.results === null ? options.results : milliseconds(options.results, "results")
  if (typeof resultMs === "number" && resultMs < 1) throw new InvalidOptionError("results", options.results, "must be 1ms or longer; null keeps none")
  return JSON.stringify({
    levels,
    lease: leaseMs === undefined ? undefined : `${leaseMs} ms`,
    maxAttempts,
    deadLetter,
    notify,
    done,
    onInvalid,
    backoff: encodeBackoff(options.backoff),
    results: typeof resultMs === "number" ? `${resultMs} ms` : resultMs,
    archiveRetention: typeof keptMs === "number" ? `${keptMs} ms` : keptMs,
    ...encodeStorage(options),
    ...encodeLimits(options),
  })
}

export function decodeQueueInfo(text: string): QueueInfo {
  const info = JSON.parse(text) as Omit<QueueInfo, "createdAt" | "pausedAt" | "lease" | "archiveRetention" | "partition" | "backoff" | "results" | "rateLimit" | "groupRateLimit"> & {
    createdAt: number
    pausedAt: number | null
    backoff: StoredBackoff | null
    results: number | null
    rateLimit: StoredRate | null
    groupRateLimit: StoredRate | null
    lease: number
    archiveRetention: number | null
    partition: Parameters<typeof decodePartition>[0]
  }
  return {
    ...info,
    createdAt: new Date(info.createdAt),
    pausedAt: info.pausedAt === null ? null : new Date(info.pausedAt),
    backoff: decodeBackoff(info.backoff),
    results: info.results === null ? null : formatDuration(info.results),
    rateLimit: decodeRate(info.rateLimit),
    groupRateLimit: decodeRate(info.groupRateLimit),
    lease: formatDuration(info.lease),
    archiveRetention: info.archiveRetention === null ? null : formatDuration(info.archiveRetention),
    partition: decodePartition(info.partition),
  }
}
