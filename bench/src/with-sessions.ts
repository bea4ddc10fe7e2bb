import type { OpenOptions, Session } from "./contestant.ts"
import type { Place } from "./workload.ts"

export interface SessionOptions extends OpenOptions {
  /** The name that its connections go by in `pg_stat_activity`. */
  readonly as?: string
}

/** Opens one session for each of `options`, and closes them all whatever becomes of `work`. */
export async function withSessions<T>(
  place: Place,
  options: readonly SessionOptions[],
  work: (...sessions: Session[]) => Promise<T>,
): Promise<T> {
  const sessions = options.map((one) => openSession(place, one))
  try {
    return await work(...sessions)
  } finally {
    await Promise.allSettled(sessions.map((session) => session.close())) // a failure of `work` is the one to tell
  }
}

function openSession({ contestant, url }: Place, options: SessionOptions): Session {
  const named = new URL(url)
  if (options.as !== undefined) named.searchParams.set("application_name", options.as)
  return contestant.open(named.href, options)
}
