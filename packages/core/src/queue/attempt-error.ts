import { describe } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"

/** An error as it is kept with its message; the server adds when, and of which attempt. */
export interface ErrorDocument {
  readonly name: string
  readonly message: string
  readonly stack?: string
  readonly worker?: string
}

/** Whatever was thrown must be storable: what Postgres could not hold is replaced, not refused. */
const clean = (text: unknown): string => String(text).slice(0, 10_000).replaceAll("\0", "").toWellFormed()

/** What a caller names as the error of an attempt. */
export function encodeError(error: unknown): ErrorDocument | undefined {
  if (error === undefined || error === null) return undefined
  if (error instanceof Error || typeof error === "string") return errorDocument(error)
  throw new InvalidOptionError("error", error, `must be an Error or a string, got ${describe(error)}`)
}

/** Of anything that can be thrown. */
export function errorDocument(error: unknown, worker?: string): ErrorDocument {
  const by = worker === undefined ? {} : { worker }
  try {
    if (!(error instanceof Error)) return { name: "Error", message: typeof error === "string" ? clean(error) : clean(describe(error)), ...by }
    return { name: clean(error.name), message: clean(error.message), ...(error.stack && { stack: clean(stackOf(error)) }), ...by }
  } catch {
    return { name: "Error", message: "an error that cannot be read", ...by }
  }
}

/** With those of its causes: of a statement that failed, Drizzle's own error does not say why. */
function stackOf(error: Error): string {
  const stacks: string[] = []
  for (let at: unknown = error; at instanceof Error && stacks.length < 5; at = at.cause) stacks.push(at.stack ?? String(at))
  return stacks.join("\nCaused by: ")
}
