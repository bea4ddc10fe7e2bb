import { checkFunction, describe } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"
import type { EventOf, EventTypes, StreamEvent } from "../stream/event.ts"

export interface EventContext {
  /** Fires when the work is for nothing or out of time: `StaleBatchError`, `HandlerTimeoutError`, `WorkerStoppedError`, or the error that ended the transaction, is its reason. */
  readonly signal: AbortSignal
  readonly subscription: string
  /** The batch that the event came in. */
  readonly batch: { readonly id: string; readonly attempt: number }
}

export interface EventTransactionContext<Tx> extends EventContext {
  /** A transaction of the driver's library. The batch is finished in it: what its events do, and that, commit together or not at all. */
  readonly tx: Tx
}

type Run<Event, Context> = (event: Event, context: Context) => unknown

/** A function for each type of event, or one for all. Types without one are passed over, unless there is a `*`, which gets them. What a handler throws has its event retried. */
export type EventHandlers<Types extends EventTypes, Context> = Run<StreamEvent<Types>, Context> | HandlersByType<Types, Context>

type HandlersByType<Types extends EventTypes, Context> = string extends keyof Types
  ? { readonly [type: string]: Run<StreamEvent<Types>, Context> }
  : { readonly [Type in keyof Types & string]?: Run<EventOf<Type, Types[Type]["output"]>, Context> } & { readonly "*"?: Run<StreamEvent<Types>, Context> }

/** What to call for an event; undefined where nobody wants it. */
export type Choose<Tx> = (event: StreamEvent) => Run<StreamEvent, EventTransactionContext<Tx>> | undefined

export function chooser<Tx>(handlers: unknown): Choose<Tx> {
  if (typeof handlers === "function") return () => handlers as Run<StreamEvent, EventTransactionContext<Tx>>
  if (typeof handlers !== "object" || handlers === null || Array.isArray(handlers) || Object.keys(handlers).length === 0) {
    throw new InvalidOptionError("handlers", handlers, `must be a function, or an object with one for each type of event, got ${describe(handlers)}`)
  }
  const byType = new Map(Object.entries(handlers as Record<string, Run<StreamEvent, EventTransactionContext<Tx>>>))
  byType.forEach((run, type) => checkFunction(run, `handlers.${type}`))
  return ({ type }) => byType.get(type) ?? byType.get("*")
}
