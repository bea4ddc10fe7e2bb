import { checkFunction, checkOptions, describe } from "./check.ts"
import { type Duration, milliseconds } from "./duration.ts"
import { InvalidOptionError } from "./errors.ts"
import { encodeJson } from "./json.ts"
import { inSavepoint } from "./savepoint.ts"
import type { Session } from "./session.ts"

export interface OnceOptions {
  /** How long the key is remembered at least, from "1s". It must outlive every repetition: late retries, redrives. Default "30d". */
  readonly keep?: Duration
}

export interface OnceResult<T> {
  /** Whether this call did the work. */
  readonly ran: boolean
  /** What the work returned, as JSON keeps it; the same in every call. */
  readonly value: T
}

/** A result travels with its key; what is longer belongs into a table of yours. */
const LONGEST_RESULT = 64 * 1024

const statements = {
  take: { name: "once", text: "select first, result::text as result from {schema}.try_once($1::text, $2::float8 * interval '1 millisecond')" },
  keep: { name: "keep_once", text: "select {schema}.keep_once($1::text, $2::text::jsonb)::text as kept" },
}

/** `onInner` is told the transaction object of the savepoint, which some libraries make anew. */
export async function once<Tx, T>(session: Session<Tx>, tx: Tx, key: string, work: (tx: Tx) => T | Promise<T>, options: OnceOptions, onInner: (inner: Tx) => void): Promise<OnceResult<T>> {
  if (tx === undefined || tx === null) throw new InvalidOptionError("tx", tx, "is the transaction in which the work is done")
  checkKey(key)
  checkFunction(work, "work")
  checkOptions(options, ["keep"], "options")
  const { keep = "30d" } = options
  const ms = milliseconds(keep, "keep")
  if (ms < 1000) throw new InvalidOptionError("keep", keep, "must be 1s or longer")
  // A failure of the work takes its key and its effects with it, and leaves the transaction as it was.
  return inSavepoint(session.driver, tx, async (inner) => {
    const rows = await session.run<{ first: boolean; result: string | null }>(statements.take, [key, ms], { tx: inner })
    const { first, result } = rows[0]!
    if (!first) return { ran: false, value: decode(result) as T }
    onInner(inner)
    const value: unknown = await work(inner)
    if (value === undefined) return { ran: true, value: value as T }
    const text = encodeJson(value, "result", { ...session.limits, maxBytes: LONGEST_RESULT })
    await session.run(statements.keep, [key, text], { tx: inner })
    return { ran: true, value: decode(text) as T }
  })
}

const decode = (text: string | null): unknown => (text === null ? undefined : JSON.parse(text))

function checkKey(key: unknown): void {
  if (typeof key !== "string" || key.length < 1 || key.length > 500 || key.includes("\0") || !key.isWellFormed()) {
    throw new InvalidOptionError("key", key, `must be a string of 1 to 500 characters without U+0000 and lone surrogates, got ${describe(key)}`)
  }
}
