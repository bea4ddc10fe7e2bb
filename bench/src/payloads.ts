import type { Session, Payload } from "./contestant.ts"
import { repeat } from "./repeat.ts"

const text = "A message of the size that many have: some ids, an address, a few words about what happened."

export function payload(n: number): Payload {
  return { n, text }
}

/** Calls before a connection has settled for its plans: Postgres decides after five. */
export const warmUps = 6

/** What batches are made of. */
export const thousand: readonly Payload[] = Array.from({ length: 1000 }, (_, n) => payload(n))

/** Sends `count` messages in batches of 1000, over `lanes` connections. */
export async function fill(session: Session, count: number, stop: AbortSignal, lanes: number = 1): Promise<void> {
  await repeat({ calls: Math.ceil(count / 1000), lanes, seconds: 600, stop }, async (call) => {
    const batch = thousand.slice(0, count - call * 1000)
    await session.sendBatch(batch)
    return batch.length
  })
}
