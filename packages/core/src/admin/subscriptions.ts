import { checkBigint, checkDate, checkInteger, checkOneOf, checkOptions, describe, validateName } from "../check.ts"
import { type Duration, formatDuration, positiveMilliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import { arrayText } from "../queue/id-lists.ts"
import type { Session } from "../session.ts"
import type { JsonObject, TxOption } from "../types.ts"
import { type Backoff, decodeBackoff, encodeBackoff, type StoredBackoff } from "./backoff.ts"
import type { AttemptError } from "./inspect.ts"
import { checkTick, decodeLag, encodeLag, type LagLimit, type LagOptions, type StoredLag } from "./streams.ts"

/**
 * Where a subscription stands: `"latest"` is now, and what commits later is still to come, of transactions that are open, too; `"earliest"` the oldest event that
 * is stored; a tick; or a time, which means the last tick before it, so that some events before that time may come too, or the oldest event where there is no such tick.
 */
export type Position = "latest" | "earliest" | { readonly tick: string } | { readonly time: Date }

export interface SubscriptionSettings extends LagOptions {
  /** How long a reader holds a batch unless it renews it. Default "30s". */
  readonly lease?: Duration
  /** Deliveries of an event before it is dead. Default 20; null is unlimited. */
  readonly maxAttempts?: number | null
  /** How long an event waits that is to be retried, unless the reader says it. Null: not at all. Default: exponential from "1s" to "10m". */
  readonly backoff?: Backoff | null
}

export interface CreateSubscriptionOptions<Tx> extends SubscriptionSettings, TxOption<Tx> {
  /** Where it begins, if it is new; one that is there is not moved, see `reposition`. Default `"latest"`. */
  readonly from?: Position
  /** `"error"` throws `QueueAlreadyExistsError` where there is one. Default `"keep"`: found is as good as created, and stays where it is. */
  readonly ifExists?: "keep" | "error"
}

export interface SubscriptionSetup extends Omit<Required<SubscriptionSettings>, "whenStuck"> {
  readonly stream: string
  readonly name: string
  readonly createdAt: Date
  /** Null: its stream's. */
  readonly whenStuck: "block" | "expire" | null
  /** Since when it lags behind by more than its limit. */
  readonly stuckAt: Date | null
  readonly expiredAt: Date | null
}

export interface OpenBatchInfo {
  readonly id: string
  /** Null: given back. */
  readonly owner: string | null
  readonly events: number
  readonly attempt: number
  readonly openedAt: Date
  readonly leasedUntil: Date | null
}

export interface SubscriptionInfo extends SubscriptionSetup {
  /** Milliseconds: the age of the oldest event that it has not done with; 0 where there is none. */
  readonly lag: number
  /** How many events it has not done with: exact below 10,000; from there on an estimate, which counts rolled-back ones. */
  readonly pendingEvents: number
  /** Their share of what the stream has on disk. */
  readonly pendingBytes: number
  /** Finished within the last minute. */
  readonly eventsPerSecond: number
  /** When a batch was last opened or ended. */
  readonly lastSeenAt: Date | null
  /** The last tick that it is past. */
  readonly lastTick: string
  readonly batches: readonly OpenBatchInfo[]
  /** Events that are to be retried, and dead ones. */
  readonly retries: number
  readonly dead: number
}

/** An event that a subscription has given up, for `admin.redriveEvents`. */
export interface DeadEvent {
  readonly id: string
  readonly type: string
  readonly data: unknown
  readonly key: string | null
  readonly headers: JsonObject
  readonly extra: readonly (string | null)[]
  readonly attempt: number
  readonly publishedAt: Date
  readonly diedAt: Date
  readonly errors: readonly AttemptError[]
  /** For `before`. */
  readonly place: string
}

const settingKeys = ["lease", "maxAttempts", "backoff", "lagLimit", "whenStuck"] as const

const statements = {
  create: { name: "create_subscription", text: "select fault::text as fault, created, info::text as info from {schema}.try_create_subscription($1::text, $2::text, $3::text::jsonb, $4::text::jsonb, $5::bool)" },
  update: { name: "update_subscription", text: "select fault::text as fault, info::text as info from {schema}.try_update_subscription($1::text, $2::text, $3::text::jsonb)" },
  drop: { name: "drop_subscription", text: "select fault::text as fault, existed from {schema}.try_drop_subscription($1::text, $2::text)" },
  list: { name: "list_subscriptions", text: "select fault::text as fault, info::text as info from {schema}.try_list_subscriptions($1::text, $2::text)" },
  reposition: { name: "reposition", text: "select fault::text as fault from {schema}.try_reposition($1::text, $2::text, $3::text::jsonb)" },
  dead: { name: "list_dead_events", text: "select fault::text as fault, item::text as item from {schema}.try_list_dead_events($1::text, $2::text, $3::text::bigint, $4::int4)" },
  redrive: { name: "redrive_events", text: "select fault::text as fault, id::text as id from {schema}.try_redrive_events($1::text, $2::text, $3::text::bigint[])" },
}

/** Subscriptions of a stream. An unknown stream gives `StreamNotFoundError`, an unknown subscription `SubscriptionNotFoundError`. */
export interface SubscriptionsAdmin<Tx> {
  /** Creates a subscription or finds it. Throws `QueueOptionsDifferError` where it exists with other options, `TickNotFoundError`. READ COMMITTED. */
  createSubscription(stream: string, name: string, options?: CreateSubscriptionOptions<Tx>): Promise<SubscriptionSetup & { readonly created: boolean }>
  /** Changes what the patch has, and leaves the rest; for batches from the next one on. Returns all options. */
  updateSubscription(stream: string, name: string, patch: SubscriptionSettings, options?: TxOption<Tx>): Promise<SubscriptionSetup>
  /** Forgets the subscription with what it was to retry and its dead events; its readers get `SubscriptionNotFoundError`. Returns whether there was one. */
  dropSubscription(stream: string, name: string, options?: TxOption<Tx>): Promise<boolean>
  /** In order of name, with their states. */
  listSubscriptions(stream: string, options?: TxOption<Tx>): Promise<SubscriptionInfo[]>
  getSubscriptionInfo(stream: string, name: string, options?: TxOption<Tx>): Promise<SubscriptionInfo>
  /** Moves a subscription forth, or back as far as events are stored. Its open batches are nobody's any more; one that has expired lives again. READ COMMITTED. */
  reposition(stream: string, name: string, options: { readonly to: Position } & TxOption<Tx>): Promise<void>
  /** The newest first; `before` is the `place` of the last one of the page before. */
  deadEvents(stream: string, name: string, options?: { readonly before?: string; readonly limit?: number } & TxOption<Tx>): Promise<DeadEvent[]>
  /** Dead events come again, now, with their errors, their attempts counted from 0; all of them unless `ids` says which. Returns their ids; those that are not dead are passed over. */
  redriveEvents(stream: string, name: string, options?: { readonly ids?: readonly string[] } & TxOption<Tx>): Promise<string[]>
}

export function subscriptionsAdmin<Tx>(session: Session<Tx>): SubscriptionsAdmin<Tx> {
  const list = async (stream: string, name: string | null, options: TxOption<Tx>): Promise<SubscriptionInfo[]> => {
    validateName(stream, "stream")
    checkOptions(options, ["tx"], "options")
    const rows = await session.run<{ info: string }>(statements.list, [stream, name], options)
    return rows.map(({ info }) => decodeInfo(JSON.parse(info) as StoredInfo))
  }
  return {
    createSubscription: async (stream, name, options = {}) => {
      checkNames(stream, name)
      checkOptions(options, [...settingKeys, "from", "ifExists", "tx"], "options")
      const mustBeNew = checkOneOf(options.ifExists === undefined ? "keep" : options.ifExists, ["keep", "error"], "ifExists") === "error"
      const from = encodePosition(options.from === undefined ? "latest" : options.from, "from")
      const rows = await session.run<{ created: boolean; info: string }>(statements.create, [stream, name, encodeSettings(options), from, mustBeNew], options)
      return { ...decodeSetup(JSON.parse(rows[0]!.info) as StoredSetup), created: rows[0]!.created }
    },
    updateSubscription: async (stream, name, patch, options = {}) => {
      checkNames(stream, name)
      checkOptions(patch, settingKeys, "patch")
      checkOptions(options, ["tx"], "options")
      const rows = await session.run<{ info: string }>(statements.update, [stream, name, encodeSettings(patch)], options)
      return decodeSetup(JSON.parse(rows[0]!.info) as StoredSetup)
    },
    dropSubscription: async (stream, name, options = {}) => {
      checkNames(stream, name)
      checkOptions(options, ["tx"], "options")
      const rows = await session.run<{ existed: boolean }>(statements.drop, [stream, name], options)
      return rows[0]!.existed
    },
    listSubscriptions: async (stream, options = {}) => list(stream, null, options),
    getSubscriptionInfo: async (stream, name, options = {}) => {
      checkNames(stream, name)
      return (await list(stream, name, options))[0]!
    },
    reposition: async (stream, name, options) => {
      checkNames(stream, name)
      checkOptions(options, ["to", "tx"], "options")
      await session.run(statements.reposition, [stream, name, encodePosition(options.to, "to")], { tx: options.tx })
    },
    deadEvents: async (stream, name, options = {}) => {
      checkNames(stream, name)
      checkOptions(options, ["before", "limit", "tx"], "options")
      const { before, limit = 100 } = options
      const values = [stream, name, before === undefined ? null : checkBigint(before, "before"), checkInteger(limit, "limit", 1, 1000)]
      const rows = await session.run<{ item: string }>(statements.dead, values, { tx: options.tx })
      return rows.map(({ item }) => decodeDead(item))
    },
    redriveEvents: async (stream, name, options = {}) => {
      checkNames(stream, name)
      checkOptions(options, ["ids", "tx"], "options")
      const { ids } = options
      if (ids !== undefined && !Array.isArray(ids)) throw new InvalidOptionError("ids", ids, `must be an array of ids, got ${describe(ids)}`)
      const text = ids === undefined ? null : arrayText(ids.map((id, i) => checkBigint(id, `ids[${i}]`)))
      const rows = await session.run<{ id: string }>(statements.redrive, [stream, name, text], { tx: options.tx })
      return rows.map(({ id }) => id)
    },
  }
}

function checkNames(stream: string, name: string): void {
  validateName(stream, "stream")
  validateName(name, "subscription")
}

function encodePosition(position: Position, field: string): string {
  if (position === "latest" || position === "earliest") return JSON.stringify(position)
  if (typeof position !== "object" || position === null || Object.keys(position).length !== 1) throw new InvalidOptionError(field, position, `must be "latest", "earliest", { tick } or { time }, got ${describe(position)}`)
  checkOptions(position, ["tick", "time"], field)
  return "tick" in position ? `{"tick":${checkTick(position.tick, `${field}.tick`)}}` : `{"time":${checkDate(position.time, `${field}.time`)}}`
}

function encodeSettings(options: SubscriptionSettings): string {
  const { lease, maxAttempts, backoff } = options
  return JSON.stringify({
    lease: lease === undefined ? undefined : `${positiveMilliseconds(lease, "lease")} ms`,
    maxAttempts: maxAttempts === undefined || maxAttempts === null ? maxAttempts : checkInteger(maxAttempts, "maxAttempts", 1, 2_147_483_647),
    backoff: encodeBackoff(backoff),
    ...encodeLag(options),
  })
}

type StoredSetup = Omit<SubscriptionSetup, "createdAt" | "lease" | "backoff" | "lagLimit" | "stuckAt" | "expiredAt"> & {
  readonly createdAt: number
  readonly lease: number
  readonly backoff: StoredBackoff | null
  readonly lagLimit: StoredLag | null
  readonly stuckAt: number | null
  readonly expiredAt: number | null
}

type StoredInfo = StoredSetup & Omit<SubscriptionInfo, keyof SubscriptionSetup | "lastSeenAt" | "batches"> & {
  readonly lastSeenAt: number | null
  readonly batches: readonly { readonly id: string; readonly owner: string | null; readonly count: number; readonly attempt: number; readonly openedAt: number; readonly leasedUntil: number | null }[]
}

const date = (ms: number | null): Date | null => (ms === null ? null : new Date(ms))

function decodeSetup({ stream, name, createdAt, lease, maxAttempts, backoff, lagLimit, whenStuck, stuckAt, expiredAt }: StoredSetup): SubscriptionSetup {
  const limit: LagLimit | null = decodeLag(lagLimit)
  return { stream, name, createdAt: new Date(createdAt), lease: formatDuration(lease), maxAttempts, backoff: decodeBackoff(backoff), lagLimit: limit, whenStuck, stuckAt: date(stuckAt), expiredAt: date(expiredAt) }
}

function decodeInfo(stored: StoredInfo): SubscriptionInfo {
  const { lag, pendingEvents, pendingBytes, eventsPerSecond, lastSeenAt, lastTick, batches, retries, dead } = stored
  return {
    ...decodeSetup(stored),
    lag, pendingEvents, pendingBytes, eventsPerSecond, lastTick, retries, dead,
    lastSeenAt: date(lastSeenAt),
    batches: batches.map(({ id, owner, count, attempt, openedAt, leasedUntil }) => ({ id, owner, events: count, attempt, openedAt: new Date(openedAt), leasedUntil: date(leasedUntil) })),
  }
}

function decodeDead(text: string): DeadEvent {
  const { publishedAt, diedAt, headers, errors, ...event } = JSON.parse(text) as Omit<DeadEvent, "publishedAt" | "diedAt" | "errors" | "headers"> & {
    publishedAt: number
    diedAt: number
    headers: JsonObject | null
    errors: AttemptError[] | null
  }
  return { ...event, headers: headers ?? {}, publishedAt: new Date(publishedAt), diedAt: new Date(diedAt), errors: errors ?? [] }
}
