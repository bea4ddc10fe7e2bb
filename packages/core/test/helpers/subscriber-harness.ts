import type { Client, CreateSubscriptionOptions, EventContext, EventHandlers, EventTypes, Stream, Subscriber, SubscriberEvents, SubscriberOptions } from "@sluice/core"
import type { PoolClient } from "pg"
import { afterEach } from "vitest"
import { harness, type Harness } from "./harness.ts"
import { moveClock } from "./move-clock.ts"

export interface Told {
  readonly name: keyof SubscriberEvents
  /** The data of the event, where it is about one. */
  readonly data: unknown
  readonly event: SubscriberEvents[keyof SubscriberEvents]
}

export interface WatchedSubscriber {
  readonly subscriber: Subscriber
  /** What it told but "idle", in order. */
  readonly told: Told[]
  /** What was told of events, such as "done 1". */
  said(): string[]
  count(name: keyof SubscriberEvents): number
  errors(): string[]
}

export interface SubscriberHarness extends Harness {
  /** A stream of a name that no other test uses, with a subscription "s". */
  stream(options?: CreateSubscriptionOptions<PoolClient>): Promise<Stream<EventTypes, PoolClient>>
  /** Publishes these data, one transaction each, of type "n". */
  publish(stream: { readonly name: string }, ...data: readonly unknown[]): Promise<string[]>
  /** A subscriber of "s" that is stopped after the test; not started. */
  watch(stream: { readonly name: string }, handlers: EventHandlers<EventTypes, EventContext>, options?: SubscriberOptions & { readonly transactional?: false }, on?: Client<PoolClient>): WatchedSubscriber
  dead(stream: { readonly name: string }): Promise<{ data: unknown; attempt: number; reason: string }[]>
}

/** As `harness`, for tests of subscribers: the clock is put right and subscribers are stopped after each test. */
export async function subscriberHarness(): Promise<SubscriberHarness> {
  const base = await harness()
  const { client, pool } = base
  const open: Subscriber[] = []
  afterEach(async () => {
    await moveClock(pool, "0")
    await Promise.all(open.splice(0).map((subscriber) => subscriber.stop({ timeout: 0 })))
  })
  let made = 0
  return {
    ...base,
    stream: async (options) => {
      const { name } = await client.admin.createStream(`stream.${++made}`)
      await client.admin.createSubscription(name, "s", options)
      return client.stream(name)
    },
    publish: async ({ name }, ...data) => {
      const ids: string[] = []
      for (const one of data) ids.push(await client.stream(name).publish("n", one))
      return ids
    },
    watch: ({ name }, handlers, options = {}, on = client) => {
      const subscriber = on.subscriber(name, "s", handlers, { maintenance: false, pollInterval: "50ms", ...options })
      open.push(subscriber)
      return watchSubscriber(subscriber)
    },
    dead: async ({ name }) => {
      const items = await client.admin.deadEvents(name, "s")
      return items.map(({ data, attempt, errors }) => ({ data, attempt, reason: (errors.at(-1) as { message?: string } | undefined)?.message ?? "" })).reverse()
    },
  }
}

const names = ["batch", "done", "retry", "dead", "finished", "lost", "error", "stopped"] as const satisfies (keyof SubscriberEvents)[]

export function watchSubscriber(subscriber: Subscriber): WatchedSubscriber {
  const told: Told[] = []
  for (const name of names) subscriber.on(name, (event) => told.push({ name, event, data: "event" in event ? event.event.data : undefined }))
  return {
    subscriber,
    told,
    said: () => told.filter(({ event }) => "event" in event).map(({ name, data }) => `${name} ${String(data)}`),
    count: (wanted) => told.filter(({ name }) => name === wanted).length,
    errors: () => told.filter(({ name }) => name === "error").map(({ event }) => String((event as SubscriberEvents["error"]).error)),
  }
}
