import type { Message } from "../message.ts"

/** What a worker tells. Listeners are called at once and in order; what they throw comes as an `error` event. */
export interface WorkerEvents {
  /** A handler begins. */
  readonly start: { readonly message: Message }
  /** Settled as done; `ms` is how long the handler took. */
  readonly done: { readonly message: Message; readonly ms: number }
  /** The attempt failed, and there will be another. */
  readonly retry: { readonly message: Message; readonly error: unknown; readonly visibleAt: Date }
  readonly snooze: { readonly message: Message; readonly visibleAt: Date }
  /** No more attempts: in the dead-letter queue, or the archive where there is none. */
  readonly dead: { readonly message: Message; readonly error: unknown }
  readonly cancelled: { readonly message: Message }
  /** Given back unfinished, since the worker stops or its queue is paused. */
  readonly released: { readonly message: Message }
  /** The lease is somebody else's by now, or the message gone: what the handler did will have been done twice, or is rolled back. */
  readonly lost: { readonly message: Message }
  /** A queue had nothing more. */
  readonly idle: { readonly queue: string }
  /** Something of the worker's own went wrong, such as a claim without a connection. It goes on by itself. */
  readonly error: { readonly error: unknown; readonly queue?: string }
  readonly stopped: { readonly worker: string }
}

export const workerEvents: Readonly<Record<keyof WorkerEvents, 0>> = { start: 0, done: 0, retry: 0, snooze: 0, dead: 0, cancelled: 0, released: 0, lost: 0, idle: 0, error: 0, stopped: 0 }
