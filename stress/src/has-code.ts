/** Whether an error, or what caused it, has this SQLSTATE. */
export function hasCode(error: unknown, code: string): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ("code" in cause && cause.code === code) return true
  }
  return false
}
