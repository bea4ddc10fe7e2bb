import { checkOptions } from "../check.ts"
import type { Duration } from "../duration.ts"
import type { Leased, Message, PoppedMessage } from "../message.ts"
import type { Session, Statement } from "../session.ts"
import type { StandardSchema } from "../standard-schema.ts"
import type { Inlet } from "../stream/forward.ts"
import type { TxOption } from "../types.ts"
import type { Transactions } from "../transactions.ts"
import type { WakeHub } from "../wake-hub.ts"
import { type BatchHandlerOptions, createBatchHandler, createHandler, type Handler, type HandlerContext, type HandlerOptions, handlerOptionKeys, type MessageContext, type TransactionContext } from "../worker/handler.ts"
import { type WorkerOptions, workerOptionKeys } from "../worker/options.ts"
import { createWorker, type Worker } from "../worker/worker.ts"
import { archiveStatement } from "./archive.ts"
import { cancel, type CancelOutcome } from "./cancel.ts"
import { deleteStatement } from "./delete.ts"
import { deadLetter, type DeadLetterOptions, release, retry, type RetryOptions, type RetryResult, snooze } from "./give-back.ts"
import { edit, type EditOutcome, type MessageChanges } from "./edit.ts"
import { metrics, type QueueMetrics } from "./metrics.ts"
import { progress } from "./progress.ts"
import { popBatch, type PopBatchOptions } from "./pop.ts"
import { purge } from "./purge.ts"
import { readBatch, type ReadBatchOptions, type ReadOptions } from "./read.ts"
import { type PollOptions, readWithPoll } from "./read-with-poll.ts"
import { type BatchItem, sendBatch } from "./send-batch.ts"
import { send, type SendOptions } from "./send.ts"
import type { SendBudget, SendRate } from "./send-rate.ts"
import { extend, setVt } from "./set-vt.ts"
import { settleBatch, settleOne, type SettleOptions, type SettleResult } from "./settle.ts"

/** What `client.queue(name, …)` takes. */
export interface QueueTypes<Input, Output> {
  /** Any Standard Schema. Its input is checked at send and stored; its output is what readers get. */
  readonly payload?: StandardSchema<Input, Output>
  /** How fast this process may send to the queue, all its `client.queue` of this name together; beyond that a send throws `RateLimitedError`. Default: as fast as it likes. */
  readonly sendRate?: SendRate
}

/**
 * A queue, and the type of its messages. Making one does no I/O: that the queue exists shows at the first call, each of
 * which rejects with `QueueNotFoundError` if it does not.
 *
 * With `{ tx }` a call joins a transaction of the caller's: it takes effect when that commits, or never. Errors that
 * Sluice decides leave that transaction usable.
 */
export interface Queue<Input = unknown, Output = Input, Tx = unknown> {
  readonly name: string

  /** Sends one message and returns its id. Throws `PayloadInvalidError`, `PayloadTooLargeError`, `InvalidOptionError` before any SQL. */
  send(payload: Input, options?: SendOptions<Tx>): Promise<string>
  /** Sends many in one statement, all or nothing, and returns their ids in order. At most 64 MiB together. */
  sendBatch(items: readonly BatchItem<Input>[], options?: SendOptions<Tx>): Promise<string[]>

  /** Leases the next message, or returns null. Expiry of the lease alone makes it readable again. READ COMMITTED only. */
  read(options?: ReadOptions<Tx>): Promise<Message<Output> | null>
  /** Leases up to `limit` messages, in order of priority and readiness; `[]` when there is none. READ COMMITTED only. */
  readBatch(options?: ReadBatchOptions<Tx>): Promise<Message<Output>[]>
  /** As `readBatch`, waiting for a first message; holds no connection while it waits. */
  readWithPoll(options?: PollOptions): Promise<Message<Output>[]>
  /** Reads and deletes in one step, or returns null: at most once. READ COMMITTED only. */
  pop(options?: Omit<PopBatchOptions<Tx>, "limit">): Promise<PoppedMessage<Output> | null>
  popBatch(options?: PopBatchOptions<Tx>): Promise<PoppedMessage<Output>[]>

  /** Moves the end of the lease to this long from now, or to a time. Throws `StaleLeaseError`. */
  setVt<M extends Leased>(message: M, vt: Duration | Date, options?: SettleOptions<Tx>): Promise<M & Pick<Message, "visibleAt">>
  /** Moves the end of the lease by this much. Throws `StaleLeaseError`. */
  extend<M extends Leased>(message: M, by: Duration, options?: SettleOptions<Tx>): Promise<M & Pick<Message, "visibleAt">>
  /** Says how far the work on a message is, for `admin.messages`; of one that is settled later it is forgotten within a day. Throws `StaleLeaseError`. */
  progress(message: Leased, value: number, note?: string, options?: SettleOptions<Tx>): Promise<void>
  /** Gives the message back, ready at once. Throws `StaleLeaseError`. */
  release(message: Leased, options?: SettleOptions<Tx>): Promise<void>
  /** Gives a failed message back with its error, ready after `delay`, or the queue's backoff; at its limit of attempts it is dead-lettered. Throws `StaleLeaseError`. */
  retry(message: Leased, options?: RetryOptions<Tx>): Promise<RetryResult>
  /** Puts the message off: ready again this long from now, the attempt not counted. Throws `StaleLeaseError`. */
  snooze(message: Leased, delay: Duration, options?: SettleOptions<Tx>): Promise<Pick<Message, "visibleAt">>
  /** Gives up on the message now: it moves to the dead-letter queue, or the archive where there is none. Throws `StaleLeaseError`. */
  deadLetter(message: Leased, options?: DeadLetterOptions<Tx>): Promise<void>
  /** Done: the message is gone. Throws `StaleLeaseError`. */
  delete(message: Leased, options?: SettleOptions<Tx>): Promise<void>
  /** Done: the message moves to the archive. Throws `StaleLeaseError`. */
  archive(message: Leased, options?: SettleOptions<Tx>): Promise<void>
  /** Deletes many in one statement. Those whose lease is stale are returned as `refused`, the others are settled. */
  deleteBatch(messages: readonly Leased[], options?: SettleOptions<Tx>): Promise<SettleResult>
  /** Archives many in one statement. Those whose lease is stale are returned as `refused`, the others are settled. */
  archiveBatch(messages: readonly Leased[], options?: SettleOptions<Tx>): Promise<SettleResult>

  /** Changes a message that waits. `"held"`: a reader has it by now. Null where there is none: it is done, or never was. */
  edit(id: string, changes: MessageChanges<Input>, options?: TxOption<Tx>): Promise<EditOutcome | null>
  /** Makes a delayed message ready now: `edit(id, { delay: 0 })`. */
  promote(id: string, options?: TxOption<Tx>): Promise<EditOutcome | null>
  /**
   * Cancels a message. One that waits is gone at once. Of one that somebody holds its worker learns by its next beat, and its
   * handler's signal fires. Null where there is no such message: it is done, or never was.
   */
  cancel(id: string, options?: TxOption<Tx>): Promise<CancelOutcome | null>
  /**
   * A function for each message, for `client.worker`. It returns when the message is done, throws when it failed, and may return or
   * throw an `outcome`. With `{ transactional: true }` it is given a transaction of the driver's library, in which the message is settled.
   */
  handler(run: (message: Message<Output>, context: MessageContext) => unknown, options?: HandlerOptions & { readonly transactional?: false }): Handler<Tx>
  handler(run: (message: Message<Output>, context: MessageContext & TransactionContext<Tx>) => unknown, options: HandlerOptions & { readonly transactional: true }): Handler<Tx>
  /** A function for many messages at once. It may return an array with an outcome, an error or anything else, which is done, for each of them. */
  batchHandler(run: (messages: readonly Message<Output>[], context: HandlerContext) => unknown, options: BatchHandlerOptions & { readonly transactional?: false }): Handler<Tx>
  batchHandler(run: (messages: readonly Message<Output>[], context: TransactionContext<Tx>) => unknown, options: BatchHandlerOptions & { readonly transactional: true }): Handler<Tx>
  /** A worker for this queue alone, started: `client.worker([queue.handler(run, options)], options)`. */
  work(run: (message: Message<Output>, context: MessageContext) => unknown, options?: WorkOptions & { readonly transactional?: false }): Promise<Worker>
  work(run: (message: Message<Output>, context: MessageContext & TransactionContext<Tx>) => unknown, options: WorkOptions & { readonly transactional: true }): Promise<Worker>

  /** Deletes every message, leased ones too, and returns how many. The archive stays. */
  purge(options?: TxOption<Tx>): Promise<number>
  metrics(options?: TxOption<Tx>): Promise<QueueMetrics>
  /** @internal */
  readonly inlet: Inlet<Tx>
}

export type WorkOptions = HandlerOptions & WorkerOptions

export function createQueue<Input, Output, Tx>(
  session: Session<Tx>,
  hub: WakeHub,
  transactions: Transactions<Tx>,
  host: { readonly wake: (queue: string) => void; readonly onWorker: (worker: Worker) => void },
  name: string,
  schema: StandardSchema<Input, Output> | undefined,
  budget: SendBudget | undefined,
): Queue<Input, Output, Tx> {
  const reader = schema as StandardSchema<unknown, Output> | undefined
  const settleMany = (statement: Statement, messages: readonly Leased[], options: SettleOptions<Tx> = {}) => {
    checkOptions(options, ["tx"], "options")
    return settleBatch(session, statement, name, messages, options)
  }
  const handler = (run: (message: Message<never>, context: MessageContext & TransactionContext<Tx>) => unknown, options: HandlerOptions = {}) => createHandler(session, transactions, name, schema, run, options)
  const sendMany = async (items: readonly BatchItem<Input>[], options: SendOptions<Tx> = {}): Promise<string[]> => {
    if (Array.isArray(items)) budget?.take(items.length)
    const ids = await sendBatch(session, name, schema, items, options)
    if (ids.length > 0) transactions.sent(name, options)
    return ids
  }
  return {
    name,
    inlet: { kind: "queue", session, transactions, put: (items, tx) => sendMany(items as readonly BatchItem<Input>[], { tx }) },
    handler,
    batchHandler: (run: (messages: readonly Message<never>[], context: TransactionContext<Tx>) => unknown, options: BatchHandlerOptions) => createBatchHandler(session, transactions, name, schema, run, options),
    work: async (run: (message: Message<never>, context: MessageContext & TransactionContext<Tx>) => unknown, options: WorkOptions = {}) => {
      const [ofHandler, ofWorker] = divide(options)
      const worker = createWorker(session, hub, host.wake, [handler(run, ofHandler)], ofWorker)
      host.onWorker(worker)
      await worker.start()
      return worker
    },
    send: async (payload, options = {}) => {
      budget?.take(1)
      const id = await send(session, name, schema, payload, options)
      transactions.sent(name, options)
      return id
    },
    sendBatch: sendMany,
    read: async (options = {}) => {
      checkOptions(options, ["lease", "filter", "tx", "signal"], "options")
      const messages = await readBatch(session, name, reader, options)
      return messages[0] ?? null
    },
    readBatch: async (options = {}) => readBatch(session, name, reader, options),
    readWithPoll: async (options = {}) => readWithPoll(session, hub, name, reader, options),
    pop: async (options = {}) => {
      checkOptions(options, ["filter", "tx"], "options")
      const messages = await popBatch(session, name, reader, options)
      return messages[0] ?? null
    },
    popBatch: async (options = {}) => popBatch(session, name, reader, options),
    setVt: async (message, vt, options = {}) => setVt(session, name, message, vt, options),
    extend: async (message, by, options = {}) => extend(session, name, message, by, options),
    progress: async (message, value, note, options = {}) => progress(session, name, message, value, note, options),
    release: async (message, options = {}) => release(session, name, message, options),
    retry: async (message, options = {}) => retry(session, name, message, options),
    snooze: async (message, delay, options = {}) => snooze(session, name, message, delay, options),
    deadLetter: async (message, options = {}) => deadLetter(session, name, message, options),
    delete: async (message, options = {}) => settleOne(session, deleteStatement, name, message, options),
    archive: async (message, options = {}) => settleOne(session, archiveStatement, name, message, options),
    deleteBatch: async (messages, options) => settleMany(deleteStatement, messages, options),
    archiveBatch: async (messages, options) => settleMany(archiveStatement, messages, options),
    edit: async (id, changes, options = {}) => edit(session, name, schema, id, changes, options),
    promote: async (id, options = {}) => edit(session, name, schema, id, { delay: 0 }, options),
    cancel: async (id, options = {}) => cancel(session, name, id, options),
    purge: async (options = {}) => purge(session, name, options),
    metrics: async (options = {}) => (await metrics(session, name, options))[0]!,
  }
}

/** `concurrency` is the worker's: it has this handler alone. */
function divide(options: WorkOptions): [HandlerOptions, WorkerOptions] {
  checkOptions(options, [...handlerOptionKeys, ...workerOptionKeys.filter((key) => key !== "concurrency")], "options")
  const isOfHandler = (key: string): boolean => key !== "concurrency" && (handlerOptionKeys as readonly string[]).includes(key)
  const entries = Object.entries(options)
  return [Object.fromEntries(entries.filter(([key]) => isOfHandler(key))), Object.fromEntries(entries.filter(([key]) => !isOfHandler(key)))]
}
