/** Calls a user's listener of errors. Of an error in the telling of errors nobody is left to be told: the loop goes on. */
export function tellError(onError: ((error: unknown) => void) | undefined, error: unknown): void {
  try {
    onError?.(error)
  } catch {
    return
  }
}
