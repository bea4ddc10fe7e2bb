import type { Session } from "./session.ts"

/** Tells readers in other processes that a queue has something, at most once per queue and 20 ms. Never fails: a lost hint costs one poll. */
export interface Notifier {
  notify(queue: string): void
  /** Resolves once the last hint is out. */
  flush(): Promise<void>
}

const PAUSE = 20

/** The one NOTIFY of core: also how a subscription is proved. */
export const notifyText = "select pg_notify($1::text, $2::text)::text as sent"

export function createNotifier<Tx>(session: Session<Tx>, channel: string): Notifier {
  /** Queues notified within the pause; true: once more when it is over. */
  const recent = new Map<string, boolean>()
  const timers = new Map<string, ReturnType<typeof setTimeout>>()
  const inFlight = new Set<Promise<unknown>>()

  function send(queue: string): void {
    recent.set(queue, false)
    const sent = session.driver.query(notifyText, [channel, queue], { name: `${session.schema}_notify` }).catch(() => undefined)
    inFlight.add(sent)
    void sent.then(() => inFlight.delete(sent))
    // Not before this one is out: a pool that is slow is not to be given more and more of them.
    const timer = setTimeout(() => void sent.then(() => timers.get(queue) === timer && over(queue)), PAUSE)
    timers.set(queue, timer)
  }

  function over(queue: string): void {
    timers.delete(queue)
    const again = recent.get(queue)
    recent.delete(queue)
    if (again) send(queue)
  }

  return {
    notify: (queue) => (recent.has(queue) ? void recent.set(queue, true) : send(queue)),
    flush: async () => {
      for (const [queue, timer] of timers) {
        clearTimeout(timer)
        over(queue)
      }
      timers.forEach((timer) => clearTimeout(timer))
      timers.clear()
      recent.clear()
      await Promise.all(inFlight)
    },
  }
}
