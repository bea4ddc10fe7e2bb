import { InvalidOptionError, AbortedError } from "./errors.ts"

/** A signal acts between statements: never in the middle of one, so that nothing is half done. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal === undefined) return
  if (typeof signal.aborted !== "boolean") throw new InvalidOptionError("signal", signal, "must be an AbortSignal")
  if (signal.aborted) throw new AbortedError(signal.reason)
}
