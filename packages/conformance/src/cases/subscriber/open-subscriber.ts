import type { Client, EventHandlers, EventTransactionContext, EventTypes, Stream, Subscriber, SubscriberEvents, SubscriberOptions } from "@sluice/core"
import { eventually, inTime } from "../../assert.ts"
import type { CaseContext } from "../../case.ts"

type Name = keyof SubscriberEvents

export interface OpenSubscriber {
  readonly subscriber: Subscriber
  /** The names of what it told, in order, without those of its looks in vain and of its batches. */
  names(): Name[]
  /** What it told under a name. */
  told<N extends Name>(name: N): SubscriberEvents[N][]
  /** Waits until it has told this so often, and returns what it told last. */
  tells<N extends Name>(name: N, times?: number): Promise<SubscriberEvents[N]>
  drain(): Promise<void>
}

/** Of a subscriber in a case: its next look is soon, and maintenance is nobody's business here. */
const brisk: SubscriberOptions = { maintenance: false, pollInterval: "20ms" }

const all: readonly Name[] = ["batch", "done", "retry", "dead", "finished", "lost", "idle", "error", "stopped"]
const quiet: readonly Name[] = ["batch", "finished", "idle"]

/** A subscriber that is not started yet, and is stopped after the case. */
export function openSubscriber(context: CaseContext, client: Client, stream: Stream, handlers: EventHandlers<EventTypes, EventTransactionContext<unknown>>, options: SubscriberOptions = {}): OpenSubscriber {
  // Its handlers get a `tx` only if it is transactional, which is the case's to know.
  const subscriber = client.subscriber(stream, "s", handlers, { ...brisk, ...options } as SubscriberOptions & { transactional: true })
  const events: { readonly name: Name; readonly event: SubscriberEvents[Name] }[] = []
  for (const name of all) subscriber.on(name, (event) => void events.push({ name, event }))
  context.after(() => inTime(subscriber.stop({ timeout: 0 }), "subscriber.stop()"))
  const told = <N extends Name>(name: N): SubscriberEvents[N][] => events.filter((one) => one.name === name).map(({ event }) => event as SubscriberEvents[N])
  return {
    subscriber,
    names: () => events.map(({ name }) => name).filter((name) => !quiet.includes(name)),
    told,
    tells: async (name, times = 1) => {
      await eventually(() => told(name).length >= times, true, `a "${name}" event; told: ${events.map((one) => one.name).join(", ")}`)
      return told(name).at(-1)!
    },
    drain: () => inTime(subscriber.drain(), "drain()", 10_000),
  }
}
