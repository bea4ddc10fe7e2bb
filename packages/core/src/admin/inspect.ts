import { checkBigint, checkInteger, checkOneOf, checkOptions, checkPrefix, validateQueueName } from "../check.ts"
import type { SqlValue } from "../driver.ts"
import type { Session, Statement } from "../session.ts"
import type { JsonObject, TxOption } from "../types.ts"
import { messageWrites, type MessageWrites } from "./messages.ts"
import { decodeQueueInfo, getQueue, type QueueInfo } from "./queues.ts"

export type MessageState = "visible" | "inFlight" | "delayed" | "parked"
export type Outcome = "done" | "dead" | "cancelled"

/** A failed attempt, as a worker or `retry(message, { error })` left it. */
export interface AttemptError {
  readonly name: string
  readonly message: string
  readonly stack?: string
  /** The name of the worker, where it was one. */
  readonly worker?: string
  readonly attempt: number
  /** ISO 8601. */
  readonly at: string
}

interface StoredMessage {
  readonly id: string
  readonly queue: string
  readonly priority: number
  readonly attempt: number
  readonly enqueuedAt: Date
  /** The queue where it died, of a message in a dead-letter queue; else null. */
  readonly origin: string | null
  readonly headers: JsonObject
  readonly payload: unknown
  readonly errors: readonly AttemptError[]
  readonly key: string | null
  readonly group: string | null
}

/** How far a handler is, as it last said. */
export interface Progress {
  readonly value: number
  readonly note: string | null
  readonly at: Date
}

/** A message as an operator sees it: looking leases nothing, so there is no lease to settle by. */
export interface MessageInfo extends StoredMessage {
  readonly state: MessageState
  /** Null while parked. */
  readonly visibleAt: Date | null
  /** Null: never. */
  readonly expireAt: Date | null
  readonly progress: Progress | null
}

export interface ArchivedMessage extends StoredMessage {
  readonly outcome: Outcome
  readonly archivedAt: Date
}

export interface Page<T> {
  readonly items: T[]
  /** Pass as `after` to get the next page; null on the last one. */
  readonly next: string | null
}

export interface PageOptions<Tx> extends TxOption<Tx> {
  /** From 1 to 1000. Default 100. */
  readonly limit?: number
  /** `next` of the page before. */
  readonly after?: string | null
}

export interface QueueFilter<Tx> extends TxOption<Tx> {
  readonly prefix?: string
}

export interface MessageFilter<Tx> extends TxOption<Tx> {
  readonly queue?: string
  readonly state?: MessageState
}

export interface ArchiveFilter<Tx> extends TxOption<Tx> {
  readonly queue?: string
  readonly outcome?: Outcome
}

export interface QueuesAccessor<Tx> {
  count(filter?: QueueFilter<Tx>): Promise<number>
  /** Throws `QueueNotFoundError`. */
  get(name: string, options?: TxOption<Tx>): Promise<QueueInfo>
  /** In order of name. */
  list(options?: QueueFilter<Tx> & PageOptions<Tx>): Promise<Page<QueueInfo>>
}

/** A `queue` that is not there gives `QueueNotFoundError`. */
export interface MessagesAccessor<Tx> extends MessageWrites<Tx> {
  count(filter?: MessageFilter<Tx>): Promise<number>
  get(id: string, options?: TxOption<Tx>): Promise<MessageInfo | null>
  /** In order of id. */
  list(options?: MessageFilter<Tx> & PageOptions<Tx>): Promise<Page<MessageInfo>>
}

/** A `queue` may have been dropped, and may stand for several that bore its name; one that never was gives `QueueNotFoundError`. */
export interface ArchiveAccessor<Tx> {
  count(filter?: ArchiveFilter<Tx>): Promise<number>
  get(id: string, options?: TxOption<Tx>): Promise<ArchivedMessage | null>
  /** In order of id. */
  list(options?: ArchiveFilter<Tx> & PageOptions<Tx>): Promise<Page<ArchivedMessage>>
}

const statements = {
  countQueues: { name: "count_queues", text: "select {schema}.count_queues($1::text)::float8 as count" },
  listQueues: { name: "list_queues", text: "select item::text as item from {schema}.list_queues($1::text, $2::text, $3::int4) item" },
  countMessages: { name: "count_messages", text: "select fault::text as fault, count::float8 as count from {schema}.try_count_messages($1::text, $2::text)" },
  listMessages: { name: "list_messages", text: "select fault::text as fault, item::text as item from {schema}.try_list_messages($1::text::bigint, $2::text, $3::text, $4::text::bigint, $5::int4)" },
  countArchive: { name: "count_archive", text: "select fault::text as fault, count::float8 as count from {schema}.try_count_archive($1::text, $2::text)" },
  listArchive: { name: "list_archive", text: "select fault::text as fault, item::text as item from {schema}.try_list_archive($1::text::bigint, $2::text, $3::text, $4::text::bigint, $5::int4)" },
}

export function queuesAccessor<Tx>(session: Session<Tx>): QueuesAccessor<Tx> {
  return {
    count: async (filter = {}) => {
      checkOptions(filter, ["prefix", "tx"], "filter")
      return count(session, statements.countQueues, [prefixFilter(filter.prefix)], filter)
    },
    get: async (name, options = {}) => getQueue(session, name, options),
    list: async (options = {}) => {
      checkOptions(options, ["prefix", "limit", "after", "tx"], "options")
      if (options.after !== undefined && options.after !== null) checkPrefix(options.after, "after")
      return page(session, statements.listQueues, [prefixFilter(options.prefix)], options, decodeQueueInfo, (queue) => queue.name)
    },
  }
}

export function messagesAccessor<Tx>(session: Session<Tx>): MessagesAccessor<Tx> {
  const filters = (filter: MessageFilter<Tx>): SqlValue[] => [queueFilter(filter.queue), filter.state === undefined ? null : checkOneOf(filter.state, ["visible", "inFlight", "delayed", "parked"], "state")]
  return {
    ...messageWrites(session),
    count: async (filter = {}) => {
      checkOptions(filter, ["queue", "state", "tx"], "filter")
      return count(session, statements.countMessages, filters(filter), filter)
    },
    get: async (id, options = {}) => {
      checkOptions(options, ["tx"], "options")
      const values = [checkBigint(id, "id"), null, null, null, 1]
      return (await items(session, statements.listMessages, values, options, decodeMessage))[0] ?? null
    },
    list: async (options = {}) => {
      checkOptions(options, ["queue", "state", "limit", "after", "tx"], "options")
      checkAfter(options.after)
      return page(session, statements.listMessages, [null, ...filters(options)], options, decodeMessage, (message) => message.id)
    },
  }
}

export function archiveAccessor<Tx>(session: Session<Tx>): ArchiveAccessor<Tx> {
  const filters = (filter: ArchiveFilter<Tx>): SqlValue[] => [queueFilter(filter.queue), filter.outcome === undefined ? null : checkOneOf(filter.outcome, ["done", "dead", "cancelled"], "outcome")]
  return {
    count: async (filter = {}) => {
      checkOptions(filter, ["queue", "outcome", "tx"], "filter")
      return count(session, statements.countArchive, filters(filter), filter)
    },
    get: async (id, options = {}) => {
      checkOptions(options, ["tx"], "options")
      const values = [checkBigint(id, "id"), null, null, null, 1]
      return (await items(session, statements.listArchive, values, options, decodeArchived))[0] ?? null
    },
    list: async (options = {}) => {
      checkOptions(options, ["queue", "outcome", "limit", "after", "tx"], "options")
      checkAfter(options.after)
      return page(session, statements.listArchive, [null, ...filters(options)], options, decodeArchived, (message) => message.id)
    },
  }
}

export function queueFilter(queue: string | undefined): string | null {
  if (queue === undefined) return null
  validateQueueName(queue)
  return queue
}

function prefixFilter(prefix: string | undefined): string | null {
  return prefix === undefined ? null : checkPrefix(prefix, "prefix")
}

function checkAfter(after: string | null | undefined): void {
  if (after !== undefined && after !== null) checkBigint(after, "after")
}

export async function count<Tx>(session: Session<Tx>, statement: Statement, values: SqlValue[], options: TxOption<Tx>): Promise<number> {
  const rows = await session.run<{ count: number }>(statement, values, options)
  return rows[0]!.count
}

async function items<Tx, T>(session: Session<Tx>, statement: Statement, values: SqlValue[], options: TxOption<Tx>, decode: (text: string) => T): Promise<T[]> {
  const rows = await session.run<{ item: string }>(statement, values, options)
  return rows.map((row) => decode(row.item))
}

/** One row more than asked for tells whether there is a next page. */
export async function page<Tx, T>(session: Session<Tx>, statement: Statement, filters: SqlValue[], options: PageOptions<Tx>, decode: (text: string) => T, key: (item: T) => string): Promise<Page<T>> {
  const limit = checkInteger(options.limit ?? 100, "limit", 1, 1000)
  const found = await items(session, statement, [...filters, options.after ?? null, limit + 1], options, decode)
  const shown = found.slice(0, limit)
  return { items: shown, next: found.length > limit ? key(shown.at(-1)!) : null }
}

function decodeMessage(text: string): MessageInfo {
  const info = JSON.parse(text) as Omit<MessageInfo, "enqueuedAt" | "visibleAt" | "expireAt" | "progress"> & {
    enqueuedAt: number
    visibleAt: number | null
    expireAt: number | null
    progress: (Omit<Progress, "at"> & { at: number }) | null
  }
  return {
    ...info,
    enqueuedAt: new Date(info.enqueuedAt),
    visibleAt: time(info.visibleAt),
    expireAt: time(info.expireAt),
    progress: info.progress && { ...info.progress, at: new Date(info.progress.at) },
  }
}

const time = (ms: number | null): Date | null => (ms === null ? null : new Date(ms))

function decodeArchived(text: string): ArchivedMessage {
  const info = JSON.parse(text) as Omit<ArchivedMessage, "enqueuedAt" | "archivedAt"> & { enqueuedAt: number; archivedAt: number }
  return { ...info, enqueuedAt: new Date(info.enqueuedAt), archivedAt: new Date(info.archivedAt) }
}
