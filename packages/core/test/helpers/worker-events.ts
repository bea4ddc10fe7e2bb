/** All but "idle", of which there are too many. */
export const eventNames = ["start", "done", "retry", "snooze", "dead", "cancelled", "released", "lost", "error", "stopped"] as const
