import { describe } from "./check.ts"
import { AbortedError, InvalidOptionError } from "./errors.ts"

/** A signal acts between statements: never in the middle of one, so that nothing is half done. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  checkSignal(signal)
  if (signal?.aborted) throw new AbortedError(signal.reason)
}

export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined) return
  if (typeof signal?.aborted !== "boolean" || typeof signal.addEventListener !== "function") {
    throw new InvalidOptionError("signal", signal, `must be an AbortSignal, got ${describe(signal)}`)
  }
}
