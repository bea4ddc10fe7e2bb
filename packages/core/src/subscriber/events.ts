import type { StreamEvent } from "../stream/event.ts"

/** What a subscriber tells. Listeners are called at once and in order; what they throw comes as an `error` event. */
export interface SubscriberEvents {
  /** A batch is handled from here. */
  readonly batch: { readonly id: string; readonly count: number; readonly attempt: number }
  /** Its handler has ended well; with `finished` it is settled. */
  readonly done: { readonly event: StreamEvent }
  /** The attempt failed, and there will be another. */
  readonly retry: { readonly event: StreamEvent; readonly error: unknown }
  /** No more attempts: `admin.deadEvents` has it. */
  readonly dead: { readonly event: StreamEvent; readonly error: unknown }
  /** The batch is finished; `ms` is how long it took. */
  readonly finished: { readonly id: string; readonly count: number; readonly ms: number }
  /** The batch is another's by now: what the handlers did will be done twice, or is rolled back. */
  readonly lost: { readonly id: string }
  /** There was nothing to read. */
  readonly idle: { readonly member: string }
  /** Something of the subscriber's own went wrong, such as a read without a connection. It goes on by itself. */
  readonly error: { readonly error: unknown }
  readonly stopped: { readonly subscription: string }
}

export const subscriberEvents: Readonly<Record<keyof SubscriberEvents, 0>> = { batch: 0, done: 0, retry: 0, dead: 0, finished: 0, lost: 0, idle: 0, error: 0, stopped: 0 }
