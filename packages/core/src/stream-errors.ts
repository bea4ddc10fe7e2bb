import { SluiceError } from "./errors.ts"

/** No stream has this name. */
export class StreamNotFoundError extends SluiceError {
  readonly stream: string

  constructor(stream: string) {
    super("stream_not_found", `There is no stream "${stream}". Create it with client.admin.createStream("${stream}").`)
    this.stream = stream
  }
}

/** The stream has no subscription of this name. */
export class SubscriptionNotFoundError extends SluiceError {
  readonly stream: string
  readonly subscription: string

  constructor(stream: string, subscription: string) {
    super("subscription_not_found", `"${stream}" has no subscription "${subscription}". Create it with client.admin.createSubscription("${stream}", "${subscription}"); it then gets what is published from there on.`)
    this.stream = stream
    this.subscription = subscription
  }
}

/** The batch has ended: it was finished, or its lease ran out and another reader has its events. Nothing was changed. */
export class StaleBatchError extends SluiceError {
  readonly stream: string
  readonly subscription: string
  readonly batch: string

  constructor(stream: string, subscription: string, batch: string) {
    super("stale_batch", `Batch ${batch} of the subscription "${subscription}" of "${stream}" is no longer held: it was finished, given back or taken over, or the subscription was repositioned. Nothing was changed.`)
    this.stream = stream
    this.subscription = subscription
    this.batch = batch
  }
}

/** The subscription lagged behind further than its limit allows, with `whenStuck: "expire"`. What it had not done with may be gone. */
export class SubscriptionExpiredError extends SluiceError {
  readonly stream: string
  readonly subscription: string
  readonly expiredAt: Date

  constructor(stream: string, subscription: string, expiredAt: Date) {
    super("subscription_expired", `The subscription "${subscription}" of "${stream}" lagged behind too far and expired at ${expiredAt.toISOString()}. What it has missed may be gone; client.admin.reposition("${stream}", "${subscription}", { to: "earliest" }) goes on with what is there.`)
    this.stream = stream
    this.subscription = subscription
    this.expiredAt = expiredAt
  }
}

/** `dropStream` without `force` met subscriptions, or tables that are captured into the stream. */
export class StreamInUseError extends SluiceError {
  readonly stream: string
  readonly subscriptions: readonly string[]
  /** Tables that are captured into it. */
  readonly tables: readonly string[]

  constructor(stream: string, subscriptions: readonly string[], tables: readonly string[]) {
    const uses = [...(subscriptions.length > 0 ? [`has subscriptions: ${subscriptions.join(", ")}`] : []), ...(tables.length > 0 ? [`records the changes of ${tables.join(", ")}`] : [])]
    super("stream_in_use", `The stream "${stream}" ${uses.join(", and ")}. Drop it all the same with { force: true }.`)
    this.stream = stream
    this.subscriptions = subscriptions
    this.tables = tables
  }
}

/** The stream takes no events: it was closed with `updateStream(name, { closed: true })`. */
export class StreamClosedError extends SluiceError {
  readonly stream: string

  constructor(stream: string) {
    super("stream_closed", `The stream "${stream}" is closed. To open it: client.admin.updateStream("${stream}", { closed: false }).`)
    this.stream = stream
  }
}

/** The transaction would publish more events than the stream's `maxEventsPerTransaction`. None of this call was published. */
export class TransactionLimitError extends SluiceError {
  readonly stream: string
  readonly limit: number

  constructor(stream: string, limit: number) {
    super("transaction_limit", `A transaction may publish at most ${limit} event(s) to "${stream}".`)
    this.stream = stream
    this.limit = limit
  }
}

/** The stream has no such tick, or no longer. */
export class TickNotFoundError extends SluiceError {
  readonly stream: string
  readonly tick: string

  constructor(stream: string, tick: string) {
    super("tick_not_found", `"${stream}" has no tick ${tick}.`)
    this.stream = stream
    this.tick = tick
  }
}

/** The target has a later batch of the forwarded subscription: the source was put back to an earlier state. Nothing was copied. */
export class ForwardBehindError extends SluiceError {
  readonly stream: string
  readonly subscription: string

  constructor(stream: string, subscription: string) {
    super("forward_behind", `The target has copies of later batches of the subscription "${subscription}" of "${stream}" than the source is at: it was restored to an earlier state. Nothing was copied. Forward from a subscription of another name, made with { from: "earliest" } or a time.`)
    this.stream = stream
    this.subscription = subscription
  }
}

/** The database was restored into another cluster, where the positions of streams mean nothing. `admin.afterRestore()` repairs them. */
export class RestoredElsewhereError extends SluiceError {
  /** The system identifiers of the clusters. */
  readonly stored: string
  readonly actual: string

  constructor(stored: string, actual: string) {
    super("other_cluster", `The streams of this installation come from another cluster (${stored}, this is ${actual}), where transaction ids meant something else. Run client.admin.afterRestore() once; nothing is lost. After pg_upgrade: client.admin.afterRestore({ sameHistory: true }).`)
    this.stored = stored
    this.actual = actual
  }
}

/** Whether there is nothing more to read for a subscription. */
export const isGone = (error: unknown): boolean => error instanceof StreamNotFoundError || error instanceof SubscriptionNotFoundError || error instanceof SubscriptionExpiredError
