export type Run = (event: never, context: never) => unknown

/** The handlers of a subscriber, each changed in the same way: one for all events, or one for each type. */
export function mapHandlers(handlers: unknown, change: (run: Run) => Run): unknown {
  if (typeof handlers === "function") return change(handlers as Run)
  return Object.fromEntries(Object.entries(handlers as Record<string, Run>).map(([type, run]) => [type, change(run)]))
}
