const sqlState = /^[0-9A-Z]{5}$/

/** The SQLSTATE of an error or of the nearest cause that has one: the same walk that core does. */
export function sqlStateOf(error: unknown): string | undefined {
  for (let depth = 0; error instanceof Error && depth < 10; depth++) {
    const { code, errno } = error as { code?: unknown; errno?: unknown }
    if (typeof code === "string" && sqlState.test(code)) return code
    if (typeof errno === "string" && sqlState.test(errno)) return errno // Bun.sql
    error = error.cause
  }
  return undefined
}

/** Every message of an error and of its causes. */
export function messagesOf(error: unknown): string {
  const messages: string[] = []
  for (let depth = 0; error instanceof Error && depth < 10; depth++) {
    messages.push(error.message)
    error = error.cause
  }
  return messages.join(" <- ")
}
