import { describe } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"

/** An error as it is kept with its message; the server adds when, and of which attempt. */
export interface ErrorDocument {
  readonly name: string
  readonly message: string
  /** With those of its causes. */
  readonly stack?: string
  readonly worker?: string
}

const LONGEST = 10_000
const DEEPEST = 5

/** What a caller names as the error of an attempt. */
export function encodeError(error: unknown): ErrorDocument | undefined {
  if (error === undefined || error === null) return undefined
  if (error instanceof Error || typeof error === "string") return errorDocument(error)
  throw new InvalidOptionError("error", error, `must be an Error or a string, got ${describe(error)}`)
}

/** Of anything that can be thrown. Never throws itself, whatever its getters do: other messages wait for the same settle. */
export function errorDocument(error: unknown, worker?: string): ErrorDocument {
  const stack = attempt(() => stackOf(error, 0))
  return {
    name: clean(attempt(() => textAt(error, "name"))) || "Error",
    message: clean(attempt(() => textAt(error, "message") ?? shown(error)) ?? "what was thrown could not be read"),
    ...(stack && { stack: clean(stack) }),
    ...(worker !== undefined && { worker }),
  }
}

/** What Postgres could not hold is replaced, not refused. */
const clean = (text = ""): string => text.slice(0, LONGEST).replaceAll("\0", "").toWellFormed()

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

/** Errors of other realms, and what looks like one, are errors too. */
function textAt(error: unknown, key: "name" | "message" | "stack"): string | undefined {
  const value: unknown = typeof error === "object" && error !== null ? (error as Record<string, unknown>)[key] : undefined
  return value === undefined ? undefined : shown(value)
}

function stackOf(error: unknown, depth: number): string | undefined {
  const own = textAt(error, "stack")
  if (own === undefined || depth === DEEPEST) return own
  const behind = (attempt(() => causesOf(error)) ?? [])
    .map((one) => attempt(() => stackOf(one, depth + 1) ?? shown(one)))
    .filter((text) => text !== undefined)
  // Each has its share, so that a long stack does not hide its cause.
  return behind.reduce((text, one) => `${text}\nCaused by: ${one.slice(0, LONGEST / 4)}`, behind.length > 0 ? own.slice(0, LONGEST / 2) : own)
}

function causesOf(error: unknown): unknown[] {
  const { cause, errors } = error as { cause?: unknown; errors?: unknown }
  return [...(cause === undefined ? [] : [cause]), ...(Array.isArray(errors) ? (errors as unknown[]) : [])]
}

function shown(value: unknown): string {
  if (typeof value === "string") return value
  return (typeof value === "object" && value !== null && attempt(() => JSON.stringify(value))) || describe(value)
}
