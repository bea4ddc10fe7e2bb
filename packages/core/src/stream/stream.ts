import { checkOptions, describe } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"
import type { Session } from "../session.ts"
import type { Transactions } from "../transactions.ts"
import type { TxOption } from "../types.ts"
import type { WakeHub } from "../wake-hub.ts"
import type { EventSchemas, EventTypes } from "./event.ts"
import { encodeEvent, eventKeys, encodeItems, publish, type PublishItem, type PublishOptions } from "./publish.ts"
import type { Inlet } from "./forward.ts"
import { createSubscription, type Subscription, type SubscriptionOptions } from "./subscription.ts"

/** What `client.stream(name, …)` takes. */
export interface StreamTypes<Schemas extends EventSchemas> {
  /** A Standard Schema for each type of event. Its input is checked at publish and stored; its output is what readers get. Types that are not named here cannot be published, and are read as they were stored. */
  readonly events?: Schemas
}

/**
 * A stream, and the types of its events: every subscription gets every event. Making one does no I/O: that the stream exists shows at the first
 * call, each of which rejects with `StreamNotFoundError` if it does not.
 */
export interface Stream<Types extends EventTypes = EventTypes, Tx = unknown> {
  readonly name: string
  /**
   * Appends an event and returns its id. With `{ tx }` it is there when that commits, or never was; subscriptions get it after the commit,
   * however late, at whatever isolation level. Outside a transaction, and in one of `client.transaction`, it wakes readers; after a commit of your own `client.wake` does.
   * Throws `PayloadInvalidError`, `PayloadTooLargeError`, `InvalidOptionError` before any SQL, which leaves your transaction as it was; `StreamNotFoundError`, `StreamClosedError`, `TransactionLimitError`.
   */
  publish<Type extends keyof Types & string>(type: Type, data: Types[Type]["input"], options?: PublishOptions<Tx>): Promise<string>
  /** Appends many in one statement, in order, all or nothing, and returns their ids; what is wrong with one is told with its index. At most 64 MiB together. */
  publishBatch(items: readonly PublishItem<Types>[], options?: TxOption<Tx>): Promise<string[]>
  /** A reader of a subscription, which `admin.createSubscription` has made. No I/O. */
  subscription(name: string, options?: SubscriptionOptions): Subscription<Types, Tx>
  /** @internal */
  readonly schemas: EventSchemas | undefined
  /** @internal */
  readonly inlet: Inlet<Tx>
}

export function createStream<Types extends EventTypes, Tx>(session: Session<Tx>, hub: WakeHub, transactions: Transactions<Tx>, name: string, schemas: EventSchemas | undefined): Stream<Types, Tx> {
  const publishBatch = async (items: readonly unknown[], options: TxOption<Tx> = {}): Promise<string[]> => {
    checkOptions(options, ["tx"], "options")
    const texts = await encodeItems(session, schemas, items)
    if (texts.length === 0) return []
    const ids = await publish(session, name, texts, options)
    transactions.sent(name, options)
    return ids
  }
  return {
    name,
    schemas,
    inlet: { kind: "stream", session, transactions, put: (items, tx) => publishBatch(items, { tx }) },
    publish: async (type, data, options = {}) => {
      checkOptions(options, [...eventKeys, "tx"], "options")
      const text = await encodeEvent(session, schemas, type, data, options)
      const [id] = await publish(session, name, [text], options)
      transactions.sent(name, options)
      return id!
    },
    publishBatch,
    subscription: (subscription, options = {}) => createSubscription(session, hub, name, schemas, subscription, options),
  }
}

export function checkTypes(types: { readonly events?: unknown } = {}): void {
  const isSchema = (value: unknown): boolean => typeof value === "object" && value !== null && "~standard" in value
  if (isSchema(types) || (typeof types === "object" && types !== null && Object.entries(types).some(([key, value]) => key !== "events" && isSchema(value)))) {
    throw new InvalidOptionError("types", types, 'has schemas where it should have their types: pass { events: { "order.paid": schema } }')
  }
  checkOptions(types, ["events"], "types")
  if (types.events !== undefined) checkSchemas(types.events)
}

function checkSchemas(schemas: unknown): void {
  if (typeof schemas !== "object" || schemas === null || "~standard" in schemas) throw new InvalidOptionError("events", schemas, `must be an object with a schema for each type of event, got ${describe(schemas)}`)
  for (const [type, schema] of Object.entries(schemas) as [string, { "~standard"?: { validate?: unknown } } | null][]) {
    if (typeof schema?.["~standard"]?.validate !== "function") throw new InvalidOptionError(`events.${type}`, schema, `must be a Standard Schema (zod, valibot, arktype …), got ${describe(schema)}`)
  }
}
