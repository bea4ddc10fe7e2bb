/** Every error of a cause chain, outermost first. Libraries wrap: Drizzle keeps the driver's error as `cause`. */
function* causes(error: unknown): Generator<Record<string, unknown>> {
  const seen = new Set<unknown>()
  for (let e = error; typeof e === "object" && e !== null && !seen.has(e); e = (e as { cause?: unknown }).cause) {
    seen.add(e)
    yield e as Record<string, unknown>
    // Node joins the failures of several addresses of one host.
    if (e instanceof AggregateError) for (const inner of e.errors) yield* causes(inner)
  }
}

/** The SQLSTATE of a driver's error, found by walking `cause`; undefined where the server did not speak. */
export function sqlState(error: unknown): string | undefined {
  // EPIPE is five letters too, but the operating system's.
  for (const e of causes(error)) if (typeof e.code === "string" && /^[0-9A-Z]{5}$/.test(e.code) && e.code !== "EPIPE") return e.code
  return undefined
}

/** The server's own message, or the innermost one there is. */
export function reasonOf(error: unknown): string {
  let reason = ""
  for (const e of causes(error)) if (typeof e.message === "string" && e.message !== "") reason = e.message
  return reason || String(error)
}

const BROKEN_CODES = /^(ECONN\w+|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|CONNECT_TIMEOUT|CONNECTION_\w+)$/
const BROKEN_STATES = /^(08...|57P0[1-5]|53300|28...|3D000)$/
const BROKEN_MESSAGES = /connection (terminated|ended|closed|error)|not queryable|client has encountered a connection error|timeout exceeded when trying to connect|cannot use a pool after/i

/**
 * Whether there was no connection, or it broke. node-postgres gives some of these errors no code at all. The message of
 * an error that wraps another says nothing: Drizzle puts the parameters into it.
 */
export function isConnectionError(error: unknown): boolean {
  const state = sqlState(error)
  if (state !== undefined) return BROKEN_STATES.test(state)
  for (const e of causes(error)) {
    if (typeof e.code === "string" && BROKEN_CODES.test(e.code)) return true
    if (e.code === undefined && e.cause === undefined && typeof e.message === "string" && BROKEN_MESSAGES.test(e.message)) return true
  }
  return false
}
