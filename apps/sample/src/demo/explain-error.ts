/** The message of an error and of what caused it. */
export function explainError(error: unknown): string {
  const messages: string[] = []
  for (let at = error; at instanceof Error; at = at.cause) messages.push(reason(at))
  return messages.join("\n  because: ") || String(error)
}

/** Its first line. A refused connection on several addresses is an AggregateError without a message. */
function reason(error: Error): string {
  const parts = error instanceof AggregateError ? error.errors.map((part: unknown) => (part as Error).message) : []
  return error.message.split("\n")[0] || parts.join(", ") || error.name
}
