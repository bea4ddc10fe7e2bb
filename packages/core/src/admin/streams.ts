import { checkBoolean, checkDate, checkInteger, checkOneOf, checkOptions, validateName } from "../check.ts"
import { type Duration, formatDuration, milliseconds, positiveMilliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"

/** How far a subscription may lag behind before `whenStuck` decides; what is left out is unlimited. */
export interface LagLimit {
  /** Age of the oldest event that it has not done with, those in open batches included. */
  readonly age?: Duration
  readonly events?: number
  /** Of storage, in proportion to the events: an estimate. */
  readonly bytes?: number
}

export interface LagOptions {
  /** Default of a stream: `{ age: "1d" }`; null is none. Of a subscription: its stream's. */
  readonly lagLimit?: LagLimit | null
  /** What happens to a subscription that is behind by more: `"block"` (default) keeps all events for it and warns, again and again; `"expire"` lets them go, and tells the subscription by a `SubscriptionExpiredError`. */
  readonly whenStuck?: "block" | "expire"
}

/** What can be set on a stream, at its creation or later. The names of the ticker's options are PgQ's. */
export interface StreamOptions extends LagOptions {
  /** How long a segment takes new events before the next one does. Events live in three segments, and are gone with theirs, at once and without a trace, when all subscriptions have done with it. Default "2h". */
  readonly rotationPeriod?: Duration
  /** How long events are kept at least, subscriptions or not: for those that begin in the past. Default 0: as long as subscriptions need them; without any, until the next rotation. */
  readonly retention?: Duration
  /** A tick after so many events. Ticks mark the ends of batches for who lags behind; no delivery waits for one. Default 500. */
  readonly tickerMaxCount?: number
  /** A tick after this long with an event. Default "3s". */
  readonly tickerMaxLag?: Duration
  /** A last tick this long after the last event at the latest. Default "1m". */
  readonly tickerIdlePeriod?: Duration
  /** No ticks but forced ones. Default false. */
  readonly tickerPaused?: boolean
  /** Only `admin.externalTick` ticks. Default false. */
  readonly externalTicker?: boolean
  /** Takes no events, but in a session of `session_replication_role = replica`. Default false. */
  readonly closed?: boolean
  /** Events that one transaction may publish. Default null: unlimited. */
  readonly maxEventsPerTransaction?: number | null
  /** `"transaction"` puts a NOTIFY inside every publishing transaction, see `createQueue`. Default `"off"`. */
  readonly notify?: "off" | "transaction"
}

export interface CreateStreamOptions<Tx> extends StreamOptions, TxOption<Tx> {
  /** `"error"` throws `QueueAlreadyExistsError` where there is such a stream. Default `"keep"`. */
  readonly ifExists?: "keep" | "error"
}

export interface StreamInfo extends Required<StreamOptions> {
  readonly id: string
  readonly name: string
  readonly createdAt: Date
}

export interface StreamState extends StreamInfo {
  /** Events that were ever published, rolled-back ones included. */
  readonly published: number
  /** Over the last 20 ticks. */
  readonly eventsPerSecond: number
  /** Published since the last tick. */
  readonly newEvents: number
  /** Its id. */
  readonly lastTick: string | null
  /** Milliseconds since the last tick. */
  readonly tickerLag: number | null
  /** The segment that takes new events, 0 to 2, and since when. */
  readonly segment: number
  readonly segmentSince: Date
  /** On disk, indexes included. */
  readonly bytes: number
  readonly subscriptions: number
  /** Subscriptions that keep a segment from being emptied. */
  readonly heldBy: readonly string[]
}

export interface ExternalTick<Tx> extends TxOption<Tx> {
  /** Above the last one. */
  readonly id: string
  /** Default: now. */
  readonly at?: Date
}

const optionKeys = ["rotationPeriod", "retention", "tickerMaxCount", "tickerMaxLag", "tickerIdlePeriod", "tickerPaused", "externalTicker", "closed", "maxEventsPerTransaction", "notify", "lagLimit", "whenStuck"] as const

const statements = {
  create: { name: "create_stream", text: "select fault::text as fault, created, info::text as info from {schema}.try_create_stream($1::text, $2::text::jsonb, $3::bool)" },
  update: { name: "update_stream", text: "select fault::text as fault, info::text as info from {schema}.try_update_stream($1::text, $2::text::jsonb)" },
  drop: { name: "drop_stream", text: "select fault::text as fault, existed from {schema}.try_drop_stream($1::text, $2::bool)" },
  get: { name: "get_stream", text: "select fault::text as fault, info::text as info from {schema}.try_get_stream($1::text)" },
  info: { name: "stream_info", text: "select fault::text as fault, info::text as info from {schema}.try_stream_info($1::text)" },
  list: { name: "list_streams", text: "select info::text as info from {schema}.try_list_streams($1::text, $2::int4)" },
  tick: { name: "tick", text: "select fault::text as fault, tick::text as tick from {schema}.try_tick($1::text, true, $2::text::bigint, to_timestamp($3::float8 / 1000))" },
}

/** Streams of a schema. With `{ tx }` a call joins the caller's transaction. */
export interface StreamsAdmin<Tx> {
  /** Creates a stream or finds it. Throws `QueueOptionsDifferError` where it exists with other options, `WrongKindError` where a queue has the name. */
  createStream(name: string, options?: CreateStreamOptions<Tx>): Promise<StreamInfo & { readonly created: boolean }>
  /** Changes what the patch has, and leaves the rest; returns all options. Throws `StreamNotFoundError`. */
  updateStream(name: string, patch: StreamOptions, options?: TxOption<Tx>): Promise<StreamInfo>
  /** Throws `StreamNotFoundError`. */
  getStream(name: string, options?: TxOption<Tx>): Promise<StreamInfo>
  /** All streams, in order of name. */
  listStreams(options?: TxOption<Tx>): Promise<StreamInfo[]>
  /** Returns whether there was one. Throws `StreamInUseError` while it has subscriptions or captured tables, unless forced: subscriptions are dropped with it, and the tables record nothing any more. Waits for transactions that have published to it. */
  dropStream(name: string, options?: { readonly force?: boolean } & TxOption<Tx>): Promise<boolean>
  /** Options, rates, ticks and storage. Estimates where they say so. */
  getStreamInfo(name: string, options?: TxOption<Tx>): Promise<StreamState>
  /** Ticks now, due or paused, and returns the id of the tick. In a transaction of its own. Throws `InvalidOptionError` where the stream has `externalTicker`. */
  forceTick(name: string): Promise<string>
  /** Ticks with an id and a time from elsewhere, where the stream has `externalTicker`. Returns the id; null where it is not above the last one. Throws `InvalidOptionError` where the stream ticks by itself. */
  externalTick(name: string, tick: ExternalTick<Tx>): Promise<string | null>
}

export function streamsAdmin<Tx>(session: Session<Tx>): StreamsAdmin<Tx> {
  return {
    createStream: async (name, options = {}) => {
      validateName(name, "stream")
      checkOptions(options, [...optionKeys, "ifExists", "tx"], "options")
      const mustBeNew = checkOneOf(options.ifExists === undefined ? "keep" : options.ifExists, ["keep", "error"], "ifExists") === "error"
      const rows = await session.run<{ created: boolean; info: string }>(statements.create, [name, encodeStream(options), mustBeNew], options)
      return { ...decodeStream(JSON.parse(rows[0]!.info) as StoredStream), created: rows[0]!.created }
    },
    updateStream: async (name, patch, options = {}) => {
      validateName(name, "stream")
      checkOptions(patch, optionKeys, "patch")
      checkOptions(options, ["tx"], "options")
      const rows = await session.run<{ info: string }>(statements.update, [name, encodeStream(patch)], options)
      return decodeStream(JSON.parse(rows[0]!.info) as StoredStream)
    },
    getStream: async (name, options = {}) => {
      validateName(name, "stream")
      checkOptions(options, ["tx"], "options")
      const rows = await session.run<{ info: string }>(statements.get, [name], options)
      return decodeStream(JSON.parse(rows[0]!.info) as StoredStream)
    },
    listStreams: async (options = {}) => {
      checkOptions(options, ["tx"], "options")
      const all: StreamInfo[] = []
      for (let after: string | null = null; ; after = all.at(-1)!.name) {
        const rows: { info: string }[] = await session.run(statements.list, [after, 1000], options)
        all.push(...rows.map(({ info }) => decodeStream(JSON.parse(info) as StoredStream)))
        if (rows.length < 1000) return all
      }
    },
    dropStream: async (name, options = {}) => {
      validateName(name, "stream")
      checkOptions(options, ["force", "tx"], "options")
      const force = checkBoolean(options.force === undefined ? false : options.force, "force")
      const rows = await session.run<{ existed: boolean }>(statements.drop, [name, force], options)
      return rows[0]!.existed
    },
    getStreamInfo: async (name, options = {}) => {
      validateName(name, "stream")
      checkOptions(options, ["tx"], "options")
      const rows = await session.run<{ info: string }>(statements.info, [name], options)
      const { segmentSince, ...info } = JSON.parse(rows[0]!.info) as StoredStream & { segmentSince: number }
      return { ...decodeStream(info), segmentSince: new Date(segmentSince) } as StreamState
    },
    forceTick: async (name) => {
      validateName(name, "stream")
      const rows = await session.run<{ tick: string }>(statements.tick, [name, null, null])
      return rows[0]!.tick
    },
    externalTick: async (name, tick) => {
      validateName(name, "stream")
      checkOptions(tick, ["id", "at", "tx"], "tick")
      checkTick(tick.id, "tick.id")
      const rows = await session.run<{ tick: string | null }>(statements.tick, [name, tick.id, tick.at === undefined ? null : checkDate(tick.at, "tick.at")], tick)
      return rows[0]!.tick
    },
  }
}

export function checkTick(value: unknown, field: string): string {
  if (typeof value !== "string" || !/^[1-9]\d{0,17}$/.test(value)) throw new InvalidOptionError(field, value, "must be the id of a tick, a decimal string above 0")
  return value
}

function encodeStream(options: StreamOptions): string {
  const { rotationPeriod, retention, tickerMaxCount, tickerMaxLag, tickerIdlePeriod, tickerPaused, externalTicker, closed, maxEventsPerTransaction: most, notify } = options
  const length = (value: Duration | undefined, field: string): string | undefined => (value === undefined ? undefined : `${positiveMilliseconds(value, field)} ms`)
  const flag = (value: boolean | undefined, field: string): boolean | undefined => (value === undefined ? undefined : checkBoolean(value, field))
  return JSON.stringify({
    rotationPeriod: length(rotationPeriod, "rotationPeriod"),
    retention: retention === undefined ? undefined : `${milliseconds(retention, "retention")} ms`,
    tickerMaxCount: tickerMaxCount === undefined ? undefined : checkInteger(tickerMaxCount, "tickerMaxCount", 1, 2_147_483_647),
    tickerMaxLag: length(tickerMaxLag, "tickerMaxLag"),
    tickerIdlePeriod: length(tickerIdlePeriod, "tickerIdlePeriod"),
    tickerPaused: flag(tickerPaused, "tickerPaused"),
    externalTicker: flag(externalTicker, "externalTicker"),
    closed: flag(closed, "closed"),
    maxEventsPerTransaction: most === undefined || most === null ? most : checkInteger(most, "maxEventsPerTransaction", 0, 2_147_483_647),
    notify: notify === undefined ? undefined : checkOneOf(notify, ["off", "transaction"], "notify"),
    ...encodeLag(options),
  })
}

export function encodeLag({ lagLimit, whenStuck }: LagOptions): object {
  if (whenStuck !== undefined) checkOneOf(whenStuck, ["block", "expire"], "whenStuck")
  if (lagLimit === undefined || lagLimit === null) return { lagLimit, whenStuck }
  checkOptions(lagLimit, ["age", "events", "bytes"], "lagLimit")
  const { age, events, bytes } = lagLimit
  return {
    whenStuck,
    lagLimit: {
      age: age === undefined ? undefined : `${positiveMilliseconds(age, "lagLimit.age")} ms`,
      events: events === undefined ? undefined : checkInteger(events, "lagLimit.events", 1, Number.MAX_SAFE_INTEGER),
      bytes: bytes === undefined ? undefined : checkInteger(bytes, "lagLimit.bytes", 1, Number.MAX_SAFE_INTEGER),
    },
  }
}

export interface StoredLag {
  readonly age: number | null
  readonly events: number | null
  readonly bytes: number | null
}

export function decodeLag(stored: StoredLag | null): LagLimit | null {
  if (stored === null) return null
  const { age, events, bytes } = stored
  return { ...(age !== null && { age: formatDuration(age) }), ...(events !== null && { events }), ...(bytes !== null && { bytes }) }
}

type StoredStream = Omit<StreamInfo, "createdAt" | "lagLimit" | "rotationPeriod" | "retention" | "tickerMaxLag" | "tickerIdlePeriod"> &
  Record<"createdAt" | "rotationPeriod" | "retention" | "tickerMaxLag" | "tickerIdlePeriod", number> & { readonly lagLimit: StoredLag | null }

function decodeStream(info: StoredStream): StreamInfo {
  const { createdAt, lagLimit, rotationPeriod, retention, tickerMaxLag, tickerIdlePeriod, ...rest } = info
  return {
    ...rest,
    createdAt: new Date(createdAt),
    lagLimit: decodeLag(lagLimit),
    rotationPeriod: formatDuration(rotationPeriod),
    retention: formatDuration(retention),
    tickerMaxLag: formatDuration(tickerMaxLag),
    tickerIdlePeriod: formatDuration(tickerIdlePeriod),
  }
}
