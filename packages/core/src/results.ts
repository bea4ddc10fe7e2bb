import { checkSignal } from "./abort.ts"
import { checkBigint, checkOptions } from "./check.ts"
import { type Duration, milliseconds } from "./duration.ts"
import { AbortedError } from "./errors.ts"
import { MessageFailedError, ResultTimeoutError } from "./work-errors.ts"
import { sleep } from "./sleep.ts"
import { arrayText } from "./queue/id-lists.ts"
import type { Session } from "./session.ts"
import type { WakeHub } from "./wake-hub.ts"

export interface ResultOptions {
  /** How long to wait. Default "30s"; 0 looks once. */
  readonly timeout?: Duration
  /** Ends the wait with `AbortedError`. */
  readonly signal?: AbortSignal
}

/** Those of this client who wait for a result: one statement asks for all of them. */
export interface Results {
  wait(id: string, options: ResultOptions): Promise<unknown>
}

/** No queue has this name: it wakes who waits for results. */
export const RESULTS = "!results"

interface Waiter {
  resolve(value: unknown): void
  reject(error: unknown): void
  /** It was looked for, and is not there yet. */
  looked(): void
}

interface ResultRow {
  readonly id: string
  readonly outcome: "done" | "dead" | "cancelled" | "expired"
  readonly value: string | null
  readonly error: string | null
}

const FIRST_PAUSE = 5
const LONGEST_PAUSE = 1000
const MOST_IDS = 10_000

const statement = {
  name: "results",
  text: "select id::text as id, outcome, value::text as value, error::text as error from {schema}.results_of($1::text::bigint[])",
}

export function createResults<Tx>(session: Session<Tx>, hub: WakeHub): Results {
  const waiting = new Map<string, Set<Waiter>>()
  let arrived = new AbortController()
  let looking = false

  async function look(): Promise<void> {
    looking = true
    const waker = hub.subscribe(RESULTS)
    for (let pause = FIRST_PAUSE; waiting.size > 0; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      waker.reset()
      if (arrived.signal.aborted) {
        arrived = new AbortController()
        pause = FIRST_PAUSE
      }
      // Those of the same turn too.
      await Promise.resolve()
      await Promise.all(pages([...waiting.keys()]).map(ask))
      if (waiting.size > 0) await waker.wait(pause, arrived.signal)
    }
    waker.close()
    looking = false
  }

  async function ask(ids: string[]): Promise<void> {
    try {
      const rows = await session.run<ResultRow>(statement, [arrayText(ids)])
      for (const row of rows) tell(row)
      for (const id of ids) waiting.get(id)?.forEach(({ looked }) => looked())
    } catch (error) {
      for (const id of ids) waiting.get(id)?.forEach(({ reject }) => reject(error))
    }
  }

  function tell({ id, outcome, value, error }: ResultRow): void {
    const failure = outcome === "done" ? undefined : new MessageFailedError(id, outcome, error === null ? null : JSON.parse(error))
    waiting.get(id)?.forEach(({ resolve, reject }) => (failure === undefined ? resolve(JSON.parse(value ?? "null")) : reject(failure)))
  }

  async function wait(id: string, options: ResultOptions): Promise<unknown> {
    checkOptions(options, ["timeout", "signal"], "options")
    checkBigint(id, "id")
    checkSignal(options.signal)
    const { timeout = "30s", signal } = options
    const ms = milliseconds(timeout, "timeout")
    if (signal?.aborted) throw new AbortedError(signal.reason)
    const over = new AbortController()
    const set = waiting.get(id) ?? new Set()
    const { promise: told, resolve, reject } = Promise.withResolvers()
    const { promise: looked, resolve: onLooked } = Promise.withResolvers<void>()
    const waiter: Waiter = { resolve, reject, looked: onLooked }
    waiting.set(id, set.add(waiter))
    arrived.abort()
    if (!looking) void look()
    try {
      // Not before a first look, however short the time is.
      const late = looked.then(() => sleep(ms, over.signal)).then(() => Promise.reject(new ResultTimeoutError(id, String(timeout))))
      signal?.addEventListener("abort", () => reject(new AbortedError(signal.reason)), { once: true, signal: over.signal })
      return await Promise.race([told, late])
    } finally {
      over.abort()
      set.delete(waiter)
      if (set.size === 0) waiting.delete(id)
      if (waiting.size === 0) arrived.abort()
    }
  }

  return { wait }
}

function pages(ids: string[]): string[][] {
  const all: string[][] = []
  for (let i = 0; i < ids.length; i += MOST_IDS) all.push(ids.slice(i, i + MOST_IDS))
  return all
}
