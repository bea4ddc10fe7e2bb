import type { Message } from "../message.ts"
import { checkProgress, progress } from "../queue/progress.ts"
import type { Session } from "../session.ts"
import { quietTimer } from "../timer.ts"

/** One write in so much time: the last word counts. */
const PAUSE = 500

/** What a handler calls to say how far it is. Returns at once and never fails for the database: it is news, not work. */
export function createReporter<Tx>(session: Session<Tx>, { queue, ...message }: Message, onError: (error: unknown) => void): (value: number, note?: string) => void {
  let next: [number, string | undefined] | undefined
  let busy = false

  async function write(): Promise<void> {
    busy = true
    const [value, note] = next!
    next = undefined
    await progress(session, queue, message, value, note, {}).catch(onError)
    quietTimer(() => {
      busy = false
      if (next !== undefined) void write()
    }, PAUSE)
  }

  return (value, note) => {
    checkProgress(value, note)
    next = [value, note]
    if (!busy) void write()
  }
}
