import { checkSignal } from "../abort.ts"
import { checkBoolean, checkInteger, checkOptions, describe } from "../check.ts"
import type { Driver } from "../driver.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import { PoolTooSmallError } from "../work-errors.ts"
import { checkHostname, checkPort, checkWorkerName } from "../registry/check-identity.ts"
import type { Session } from "../session.ts"
import { type Handler, handlerOptionKeys } from "./handler.ts"

export interface WorkerOptions {
  /** Calls that run at once, of all handlers together. Default 10; with transactional handlers as many as the pool has connections, less one. */
  readonly concurrency?: number
  /** Calls claimed ahead, so that the next one begins at once. They wait for this worker while another may be idle. Default 0. */
  readonly prefetch?: number
  /** The longest time between two looks at a queue that was empty. The first comes after 5 ms, each later one after twice as long. Default "1s". */
  readonly pollInterval?: Duration
  /** Unique among the workers of the installation. Default: one made of the process id and chance. */
  readonly name?: string
  /** Shown in lists of workers. */
  readonly hostname?: string
  /** Shown in lists of workers. */
  readonly port?: number
  /** Whether the worker also runs maintenance, which one process at a time needs to do. Default true. */
  readonly maintenance?: boolean
  /** Stops the worker, as `stop` does. */
  readonly signal?: AbortSignal
}

export const workerOptionKeys = ["concurrency", "prefetch", "pollInterval", "name", "hostname", "port", "maintenance", "signal"] as const

export interface CheckedOptions {
  readonly concurrency: number
  readonly prefetch: number
  readonly longestPause: number
  readonly name: string
  readonly hostname: string | null
  readonly port: number | null
  readonly maintenance: boolean
  readonly signal: AbortSignal | undefined
}

const advice = new Map([...handlerOptionKeys, "size"].map((key) => [key, `is an option of a handler: queue.${key === "size" ? "batchHandler" : "handler"}(fn, { ${key}: … })`]))

const DEFAULT_CONCURRENCY = 10

export function checkWorker<Tx>(session: Session<Tx>, handlers: readonly Handler<Tx>[], options: WorkerOptions): CheckedOptions {
  checkHandlers(session, handlers)
  checkOptions(options, workerOptionKeys, "options", advice)
  checkSignal(options.signal)
  const { concurrency, prefetch = 0, pollInterval = "1s", name = randomName(), hostname, port, maintenance = true } = options
  const longestPause = milliseconds(pollInterval, "pollInterval")
  if (longestPause < 5) throw new InvalidOptionError("pollInterval", pollInterval, "must be 5ms or longer")
  return {
    concurrency: concurrency === undefined ? defaultConcurrency(session.driver, handlers) : checkInteger(concurrency, "concurrency", 1, 10_000),
    prefetch: checkInteger(prefetch, "prefetch", 0, 10_000),
    longestPause,
    name: checkWorkerName(name),
    hostname: checkHostname(hostname),
    port: checkPort(port),
    maintenance: checkBoolean(maintenance, "maintenance"),
    signal: options.signal,
  }
}

function checkHandlers<Tx>(session: Session<Tx>, handlers: readonly Handler<Tx>[]): void {
  if (!Array.isArray(handlers) || handlers.length === 0) throw new InvalidOptionError("handlers", handlers, "must be an array of one or more handlers, each made by queue.handler or queue.batchHandler")
  const queues = new Set<string>()
  for (const [i, handler] of handlers.entries() as ArrayIterator<[number, Handler<Tx> | undefined]>) {
    if (handler?.spec === undefined) throw new InvalidOptionError(`handlers[${i}]`, handler, `must be made by queue.handler or queue.batchHandler, got ${describe(handler)}`)
    if (handler.spec.session !== session) throw new InvalidOptionError(`handlers[${i}]`, handler, "is of a queue of another client")
    if (queues.has(handler.queue)) throw new InvalidOptionError(`handlers[${i}]`, handler, `is the second one of "${handler.queue}": a worker has one handler for each queue`)
    queues.add(handler.queue)
  }
}

/** Transactions that may be open at once, if all handlers are busy. */
function transactions<Tx>(handlers: readonly Handler<Tx>[], concurrency: number): number {
  const wanted = handlers.filter(({ spec }) => spec.transactional).reduce((sum, { spec }) => sum + (spec.concurrency ?? concurrency), 0)
  return Math.min(wanted, concurrency)
}

function defaultConcurrency<Tx>({ maxConnections }: Driver<Tx>, handlers: readonly Handler<Tx>[]): number {
  if (maxConnections === undefined || transactions(handlers, DEFAULT_CONCURRENCY) === 0) return DEFAULT_CONCURRENCY
  return Math.max(1, Math.min(DEFAULT_CONCURRENCY, maxConnections - 1))
}

/** A transaction holds its connection, and beats need one too; alone, with a pool of one, it needs no beat, since its message is locked. */
export function checkPool<Tx>({ maxConnections }: Driver<Tx>, handlers: readonly Handler<Tx>[], concurrency: number): void {
  const open = transactions(handlers, concurrency)
  if (maxConnections === undefined || open === 0 || open + 1 <= maxConnections || (maxConnections === 1 && concurrency === 1)) return
  throw new PoolTooSmallError(open, maxConnections)
}

function randomName(): string {
  const pid = (globalThis as { process?: { pid?: number } }).process?.pid
  return `worker${pid === undefined ? "" : `-${pid}`}-${crypto.randomUUID().slice(0, 8)}`
}
