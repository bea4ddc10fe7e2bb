import { checkBoolean, checkFunction, checkInteger, checkOptions } from "../check.ts"
import { type Duration, positiveMilliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import type { Message } from "../message.ts"
import type { Session } from "../session.ts"
import type { StandardSchema } from "../standard-schema.ts"
import type { Transactions } from "../transactions.ts"
import type { HandlerOutcome } from "./outcome.ts"

export interface HandlerContext {
  /**
   * Fires when the work is for nothing or out of time: `MessageCancelledError`, `HandlerTimeoutError`, `StaleLeaseError` (the lease
   * is lost), `WorkerStoppedError`, or the error that ended the transaction, is its reason. Of a call with many messages it fires
   * once that is so of each of them.
   */
  readonly signal: AbortSignal
  /** The name of the worker. */
  readonly worker: string
}

export interface MessageContext extends HandlerContext {
  /** Says how far the work is, for `admin.messages`. Returns at once; of many calls the last counts. */
  progress(value: number, note?: string): void
}

export interface TransactionContext<Tx> extends HandlerContext {
  /** A transaction of the driver's library. The message is settled in it: what the handler does with it, and that, commit together or not at all. */
  readonly tx: Tx
}

export interface HandlerOptions {
  /** How many calls of this handler run at once. Default: as many as the worker allows. */
  readonly concurrency?: number
  /** How long messages are leased; the worker's beat keeps renewing it. Default: the queue's lease. */
  readonly lease?: Duration
  /** How long a call may take. Then its signal fires, and its messages are retried. Default: as long as it likes. */
  readonly timeout?: Duration
  /** The wait after a failed attempt; the first is 1. Default: the queue's backoff. */
  readonly backoff?: (attempt: number, error: unknown) => Duration
  /** Decides by the error what becomes of the message. Default, and where it returns nothing: another attempt. */
  readonly onError?: (error: unknown, message: Message) => HandlerOutcome | undefined | void
  /** Opens a transaction for each call. Default false. */
  readonly transactional?: boolean
  /** Transactional only: up to this many messages, one after the other, share a transaction, each in a savepoint of its own. Default 1. */
  readonly batch?: number
}

export interface BatchHandlerOptions extends Omit<HandlerOptions, "batch"> {
  /** At most this many messages a call, 1 to 10,000. It is not waited for: a call gets what is there. */
  readonly size: number
}

/** One queue's part of a worker, made by `queue.handler` or `queue.batchHandler`. No I/O. */
export interface Handler<Tx = unknown> {
  readonly queue: string
  /** @internal */
  readonly spec: HandlerSpec<Tx>
}

/** A handler as a worker runs it. */
export interface HandlerSpec<Tx> {
  readonly session: Session<Tx>
  readonly transactions: Transactions<Tx>
  readonly schema: StandardSchema | undefined
  /** With one message each, or with all of a call. */
  call(messages: readonly Message[], context: MessageContext & TransactionContext<Tx>): unknown
  readonly whole: boolean
  /** Messages of one call. */
  readonly size: number
  readonly transactional: boolean
  readonly concurrency: number | undefined
  /** Milliseconds; undefined: the queue's. */
  readonly lease: number | undefined
  readonly timeout: number | undefined
  readonly backoff: HandlerOptions["backoff"]
  readonly onError: HandlerOptions["onError"]
}

export const handlerOptionKeys = ["concurrency", "lease", "timeout", "backoff", "onError", "transactional", "batch"] as const

export function createHandler<Tx>(session: Session<Tx>, transactions: Transactions<Tx>, queue: string, schema: StandardSchema | undefined, run: (message: Message<never>, context: MessageContext & TransactionContext<Tx>) => unknown, options: HandlerOptions): Handler<Tx> {
  checkFunction(run, "handler")
  checkOptions(options, handlerOptionKeys, "options")
  const common = checkHandler(options)
  const size = checkInteger(options.batch === undefined ? 1 : options.batch, "batch", 1, 10_000)
  if (size > 1 && !common.transactional) throw new InvalidOptionError("batch", size, "is for transactional handlers; to get many messages in one call, use queue.batchHandler")
  return { queue, spec: { session, transactions, schema, whole: false, size, ...common, call: ([message], context) => run(message as Message<never>, context) } }
}

export function createBatchHandler<Tx>(session: Session<Tx>, transactions: Transactions<Tx>, queue: string, schema: StandardSchema | undefined, run: (messages: readonly Message<never>[], context: TransactionContext<Tx>) => unknown, options: BatchHandlerOptions): Handler<Tx> {
  checkFunction(run, "handler")
  checkOptions(options, [...handlerOptionKeys.filter((key) => key !== "batch"), "size"], "options")
  const size = checkInteger(options.size, "size", 1, 10_000)
  return { queue, spec: { session, transactions, schema, whole: true, size, ...checkHandler(options), call: run as HandlerSpec<Tx>["call"] } }
}

function checkHandler({ concurrency, lease, timeout, backoff, onError, transactional }: HandlerOptions): Pick<HandlerSpec<unknown>, "concurrency" | "lease" | "timeout" | "backoff" | "onError" | "transactional"> {
  if (backoff !== undefined) checkFunction(backoff, "backoff")
  if (onError !== undefined) checkFunction(onError, "onError")
  return {
    concurrency: concurrency === undefined ? undefined : checkInteger(concurrency, "concurrency", 1, 10_000),
    lease: lease === undefined ? undefined : positiveMilliseconds(lease, "lease"),
    timeout: timeout === undefined ? undefined : positiveMilliseconds(timeout, "timeout"),
    backoff,
    onError,
    transactional: checkBoolean(transactional === undefined ? false : transactional, "transactional"),
  }
}
