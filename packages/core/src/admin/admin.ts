import { checkOptions, validateQueueName } from "../check.ts"
import { metrics, type QueueMetrics } from "../queue/metrics.ts"
import { purge } from "../queue/purge.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"
import { captureAdmin, type CaptureAdmin } from "./capture.ts"
import { type ArchiveAccessor, archiveAccessor, type MessagesAccessor, messagesAccessor, type QueuesAccessor, queuesAccessor } from "./inspect.ts"
import { install, type InstallOptions, type InstallResult, type MigrationSql, migrationSql } from "./install.ts"
import {
  type CreatedQueueInfo,
  createQueue,
  type CreateQueueOptions,
  dropQueue,
  type DropQueueOptions,
  getQueue,
  pauseQueue,
  type QueueInfo,
  type QueueOptions,
  updateQueue,
} from "./queues.ts"
import { promoteStream, type PromotedSubscription } from "./promote.ts"
import { afterRestore, type RestoreOptions, type RestoreResult } from "./restore.ts"
import { streamsAdmin, type StreamsAdmin } from "./streams.ts"
import { subscriptionsAdmin, type SubscriptionsAdmin } from "./subscriptions.ts"
import { type DeadMessage, redrive, type RedriveOptions } from "./redrive.ts"
import { uninstall, type UninstallOptions } from "./uninstall.ts"
import { type Verification, verify } from "./verify.ts"
import { workersAccessor, type WorkersAccessor } from "./workers.ts"

/** Everything about the schema and its queues. With `{ tx }` a call joins the caller's transaction. */
export interface Admin<Tx = unknown> extends StreamsAdmin<Tx>, SubscriptionsAdmin<Tx>, CaptureAdmin<Tx> {
  /**
   * Brings the schema to this version: creates it, or applies what is missing. Repeat it at every start; many processes
   * may do so at once. Needs READ COMMITTED. Throws `SchemaVersionError` where a newer version is installed that this one cannot work with.
   */
  install(options?: InstallOptions<Tx>): Promise<InstallResult>
  /** What `install` would run, for teams that apply SQL with a tool of their own. No I/O. */
  migrations(): MigrationSql[]
  /** Names every difference between the schema and what this version should have. */
  verify(options?: TxOption<Tx>): Promise<Verification>
  /** Drops the schema with all messages. Returns whether there was one. */
  uninstall(options: UninstallOptions<Tx>): Promise<boolean>

  /** Throws `InvalidNameError` unless a queue can have this name. No I/O. */
  validateQueueName(name: string): void
  /** Creates a queue or finds it. Throws `QueueOptionsDifferError` where it exists with other options. */
  createQueue(name: string, options?: CreateQueueOptions<Tx>): Promise<CreatedQueueInfo>
  /** Changes the options that are given. Lowering `levels` moves the messages of removed levels to the last one. */
  updateQueue(name: string, patch: QueueOptions, options?: TxOption<Tx>): Promise<QueueInfo>
  /** Throws `QueueNotFoundError`. */
  getQueue(name: string, options?: TxOption<Tx>): Promise<QueueInfo>
  /** All queues, in order of name. `admin.queues.list` pages. */
  listQueues(options?: TxOption<Tx>): Promise<QueueInfo[]>
  /** Returns whether there was such a queue. Throws `QueueInUseError` unless forced. Waits for transactions that hold its messages. */
  dropQueue(name: string, options?: DropQueueOptions<Tx>): Promise<boolean>
  /** Deletes every message, leased ones too, and returns how many. The archive stays. Waits for transactions that hold some. */
  purge(name: string, options?: TxOption<Tx>): Promise<number>
  /** No message of the queue is delivered any more, to any reader of any process, from their next claim on. Sends and settles go on. */
  pauseQueue(name: string, options?: TxOption<Tx>): Promise<QueueInfo>
  resumeQueue(name: string, options?: TxOption<Tx>): Promise<QueueInfo>
  /**
   * Brings messages that died in this queue back to it, from its dead-letter queue and the archive: with their ids and errors, their
   * attempts counted from 0, ready now. Returns them. Whoever held one before it died finds his lease stale. Name the queue that they died in: for the one
   * that they lie in, where nothing died in it, `InvalidOptionError`.
   */
  redrive(name: string, options?: RedriveOptions<Tx>): Promise<DeadMessage[]>
  metrics(name: string, options?: TxOption<Tx>): Promise<QueueMetrics>
  /** Of every queue there is, in order of name. */
  metricsAll(options?: TxOption<Tx>): Promise<QueueMetrics[]>

  /**
   * After the database was restored into another cluster, once: streams noticed it, and refused with `RestoredElsewhereError`. What
   * subscriptions had not done with they get as retries, each event once, and go on. Queues need no repair.
   */
  afterRestore(options?: RestoreOptions): Promise<RestoreResult>

  /**
   * Makes a stream that `subscription.forward` copies into one of its own: the subscriptions of the source come to be here, and get what they had not done with there, as of
   * the last that the forwarder told, and then what is published here. For a switchover: close the source, let the subscriptions and then the forwarder come to their end, promote; nothing comes twice.
   */
  promoteStream(stream: string): Promise<PromotedSubscription[]>

  readonly queues: QueuesAccessor<Tx>
  readonly messages: MessagesAccessor<Tx>
  readonly archive: ArchiveAccessor<Tx>
  readonly workers: WorkersAccessor<Tx>
}

export function createAdmin<Tx>(session: Session<Tx>): Admin<Tx> {
  const queues = queuesAccessor(session)
  return {
    ...streamsAdmin(session),
    ...subscriptionsAdmin(session),
    ...captureAdmin(session),
    afterRestore: async (options = {}) => afterRestore(session, options),
    promoteStream: async (stream) => promoteStream(session, stream),
    install: async (options = {}) => install(session, options),
    migrations: () => migrationSql(session.schema),
    verify: async (options = {}) => verify(session, options),
    uninstall: async (options) => uninstall(session, options),
    validateQueueName,
    createQueue: async (name, options = {}) => createQueue(session, name, options),
    updateQueue: async (name, patch, options = {}) => updateQueue(session, name, patch, options),
    getQueue: async (name, options = {}) => getQueue(session, name, options),
    listQueues: async (options = {}) => {
      checkOptions(options, ["tx"], "options")
      const all: QueueInfo[] = []
      for (let after: string | null = null; ; ) {
        const page: Awaited<ReturnType<typeof queues.list>> = await queues.list({ ...options, after, limit: 1000 })
        all.push(...page.items)
        if (page.next === null) return all
        after = page.next
      }
    },
    dropQueue: async (name, options = {}) => dropQueue(session, name, options),
    purge: async (name, options = {}) => {
      validateQueueName(name)
      return purge(session, name, options)
    },
    pauseQueue: async (name, options = {}) => pauseQueue(session, name, true, options),
    resumeQueue: async (name, options = {}) => pauseQueue(session, name, false, options),
    redrive: async (name, options = {}) => redrive(session, name, options),
    metrics: async (name, options = {}) => {
      validateQueueName(name)
      return (await metrics(session, name, options))[0]!
    },
    metricsAll: async (options = {}) => metrics(session, null, options),
    queues,
    messages: messagesAccessor(session),
    archive: archiveAccessor(session),
    workers: workersAccessor(session),
  }
}
