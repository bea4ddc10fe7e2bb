import { checkOptions } from "../check.ts"
import type { Duration } from "../duration.ts"
import type { Leased, Message, PoppedMessage } from "../message.ts"
import type { Session, Statement } from "../session.ts"
import type { StandardSchema } from "../standard-schema.ts"
import type { TxOption } from "../types.ts"
import type { WakeHub } from "../wake-hub.ts"
import { archiveStatement } from "./archive.ts"
import { deleteStatement } from "./delete.ts"
import { metrics, type QueueMetrics } from "./metrics.ts"
import { popBatch, type PopBatchOptions } from "./pop.ts"
import { purge } from "./purge.ts"
import { readBatch, type ReadBatchOptions, type ReadOptions } from "./read.ts"
import { type PollOptions, readWithPoll } from "./read-with-poll.ts"
import { release } from "./release.ts"
import { retry, type RetryOptions, type RetryResult } from "./retry.ts"
import { type BatchItem, sendBatch } from "./send-batch.ts"
import { send, type SendOptions } from "./send.ts"
import { extend, setVt } from "./set-vt.ts"
import { settleBatch, settleOne, type SettleOptions, type SettleResult } from "./settle.ts"

/** What `client.queue(name, …)` takes. */
export interface QueueTypes<Input, Output> {
  /** Any Standard Schema. Its input is checked at send and stored; its output is what readers get. */
  readonly payload?: StandardSchema<Input, Output>
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
  /** Gives the message back, ready at once. Throws `StaleLeaseError`. */
  release(message: Leased, options?: SettleOptions<Tx>): Promise<void>
  /** Gives a failed message back with its error, ready after `delay`; at its limit of attempts it is dead-lettered. Throws `StaleLeaseError`. */
  retry(message: Leased, options?: RetryOptions<Tx>): Promise<RetryResult>
  /** Done: the message is gone. Throws `StaleLeaseError`. */
  delete(message: Leased, options?: SettleOptions<Tx>): Promise<void>
  /** Done: the message moves to the archive. Throws `StaleLeaseError`. */
  archive(message: Leased, options?: SettleOptions<Tx>): Promise<void>
  /** Deletes many in one statement. Those whose lease is stale are returned as `refused`, the others are settled. */
  deleteBatch(messages: readonly Leased[], options?: SettleOptions<Tx>): Promise<SettleResult>
  /** Archives many in one statement. Those whose lease is stale are returned as `refused`, the others are settled. */
  archiveBatch(messages: readonly Leased[], options?: SettleOptions<Tx>): Promise<SettleResult>

  /** Deletes every message, leased ones too, and returns how many. The archive stays. */
  purge(options?: TxOption<Tx>): Promise<number>
  metrics(options?: TxOption<Tx>): Promise<QueueMetrics>
}

/** Called after a message was sent, with the transaction it was sent in. */
type OnSent<Tx> = (queue: string, options: SendOptions<Tx>) => void

export function createQueue<Input, Output, Tx>(
  session: Session<Tx>,
  hub: WakeHub,
  onSent: OnSent<Tx>,
  name: string,
  schema: StandardSchema<Input, Output> | undefined,
): Queue<Input, Output, Tx> {
  const reader = schema as StandardSchema<unknown, Output> | undefined
  const settleMany = (statement: Statement, messages: readonly Leased[], options: SettleOptions<Tx> = {}) => {
    checkOptions(options, ["tx"], "options")
    return settleBatch(session, statement, name, messages, options)
  }
  return {
    name,
    send: async (payload, options = {}) => {
      const id = await send(session, name, schema, payload, options)
      onSent(name, options)
      return id
    },
    sendBatch: async (items, options = {}) => {
      const ids = await sendBatch(session, name, schema, items, options)
      if (ids.length > 0) onSent(name, options)
      return ids
    },
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
    release: async (message, options = {}) => release(session, name, message, options),
    retry: async (message, options = {}) => retry(session, name, message, options),
    delete: async (message, options = {}) => settleOne(session, deleteStatement, name, message, options),
    archive: async (message, options = {}) => settleOne(session, archiveStatement, name, message, options),
    deleteBatch: async (messages, options) => settleMany(deleteStatement, messages, options),
    archiveBatch: async (messages, options) => settleMany(archiveStatement, messages, options),
    purge: async (options = {}) => purge(session, name, options),
    metrics: async (options = {}) => (await metrics(session, name, options))[0]!,
  }
}
