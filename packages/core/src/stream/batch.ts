import { checkBigint, checkOptions } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import { encodeError, type ErrorDocument } from "../queue/attempt-error.ts"
import type { Session } from "../session.ts"
import { StaleBatchError } from "../stream-errors.ts"
import type { TxOption } from "../types.ts"
import { decodeEvents, type EventReader, type EventRow, eventColumns, type EventTypes, type StreamEvent } from "./event.ts"
import type { BatchHead, Reader } from "./next-batch.ts"

export interface EventRetryOptions {
  /** Due this long after the batch is finished. Default: the subscription's backoff. */
  readonly delay?: Duration
  /** Why; the last 50 are kept with the event. */
  readonly error?: unknown
}

export interface FinishResult {
  /** Ids of events that had used up their attempts, or were given up: `admin.deadEvents` lists them. */
  readonly dead: readonly string[]
}

/**
 * Events that a subscription handles together, held under a lease. They can be read again until the batch is finished; if it is not, they
 * come again. What is decided of single events takes effect with `finish`.
 */
export interface Batch<Types extends EventTypes = EventTypes, Tx = unknown> {
  readonly id: string
  readonly stream: string
  readonly subscription: string
  /** How many events it holds: one at least. */
  readonly count: number
  /** Which delivery of these events it is; the first is 1. */
  readonly attempt: number
  /** Whether its events are ones that were to be retried. */
  readonly retried: boolean
  readonly openedAt: Date
  /** Aborts when the lease is found to be lost, with a `StaleBatchError`. Only a batch of `batches` or a subscriber is renewed, and looked after. */
  readonly signal: AbortSignal
  /** Its events in order of id, fetched chunk by chunk, over a connection of their own: not that of your transaction. May be read again. Throws `StaleBatchError` where a chunk is asked for and it is another's by now. */
  events(): AsyncIterableIterator<StreamEvent<Types>>
  /** All of them at once. */
  list(): Promise<StreamEvent<Types>[]>
  /** This event comes again, to this subscription alone, with its id and time; at its limit of attempts it is dead. No I/O: it takes effect with `finish`. Decided again, the last word counts. Throws `InvalidOptionError` for an event that was not read from this batch. */
  retry(event: Pick<StreamEvent, "id">, options?: EventRetryOptions): void
  /** This event does not come again, and is kept for `admin.deadEvents`. */
  deadLetter(event: Pick<StreamEvent, "id">, options?: Pick<EventRetryOptions, "error">): void
  /** Takes back what was decided of an event: it is done. */
  done(event: Pick<StreamEvent, "id">): void
  /** Done, but for events that are to be retried or dead: the subscription goes on behind it. With `{ tx }` that commits with what the events did, at any isolation level. Throws `StaleBatchError`, and has changed nothing then: roll back. Above READ COMMITTED that is also said of a batch opened after the transaction's snapshot, which it does not see: open the batch first. */
  finish(options?: TxOption<Tx>): Promise<FinishResult>
  /** Gives it back at once, for whoever asks next; the attempt is not charged. */
  release(): Promise<void>
  /** Holds it for its lease from now; not needed more often than every third of it. Throws `StaleBatchError`. */
  renew(): Promise<void>
}

/** A batch as loops see it. */
export interface OpenBatch extends Batch {
  readonly head: BatchHead
  /** It was finished or given back here. */
  hasEnded(): boolean
  /** Nobody may take it while this transaction lives. */
  lock(tx: unknown): Promise<void>
  /** What becomes of an event that was read from it; undefined: it is done. */
  decide(event: Pick<StreamEvent, "id">, decision: Omit<Decision, "id"> | undefined): void
  /** The transaction that it was finished in did not commit. */
  forgetEnd(): void
  lose(): void
}

interface Decision {
  readonly id: string
  readonly delay?: number | undefined
  readonly error?: ErrorDocument | undefined
  readonly dead?: true
  /** Comes again in a batch of its own: of many that failed together nobody knows which is to blame. */
  readonly alone?: true
  /** Its attempt is not its last. */
  readonly spared?: boolean
}

const statements = {
  events: { name: "batch_events", text: `select fault::text as fault, ${eventColumns} from {schema}.try_batch_events($1::text, $2::text, $3::text::bigint, $4::text::bigint, $5::text::bigint, $6::int4)` },
  finish: { name: "finish_batch", text: "select fault::text as fault, dead::text[]::text as dead from {schema}.try_finish_batch($1::text, $2::text, $3::text::bigint, $4::text::bigint, $5::text::jsonb)" },
  renew: { name: "renew_batch", text: "select fault::text as fault, held from {schema}.try_renew_batch($1::text, $2::text, $3::text::bigint, $4::text::bigint, $5::float8 * interval '1 millisecond')" },
  lock: { name: "lock_batch", text: "select fault::text as fault from {schema}.try_lock_batch($1::text, $2::text, $3::text::bigint, $4::text::bigint)" },
}

export interface BatchParts<Tx> {
  readonly session: Session<Tx>
  readonly reader: Reader
  readonly events: EventReader
  readonly head: BatchHead
  readonly rows: readonly EventRow[]
  readonly chunk: number
}

export function createBatch<Tx>({ session, reader: { stream, subscription }, events: reader, head, rows: firstRows, chunk }: BatchParts<Tx>): OpenBatch {
  const name = [stream, subscription, head.id, head.lease] as const
  const decisions = new Map<string, Decision>()
  const controller = new AbortController()
  const ids = new Set<string>()
  let first: Promise<StreamEvent[]> | undefined
  let ended = false
  let finishing = 0

  async function* events(): AsyncGenerator<StreamEvent> {
    first ??= decodeEvents(firstRows, reader)
    let page = await first
    for (let given = 0; ; ) {
      for (const event of page) ids.add(event.id)
      yield* page
      given += page.length
      if (given >= head.count || page.length === 0) return
      const rows = await session.run<EventRow>(statements.events, [...name, page.at(-1)!.id, chunk])
      page = await decodeEvents(rows, reader)
    }
  }

  function decide(event: Pick<StreamEvent, "id">, decision: Omit<Decision, "id"> | undefined): void {
    const id = checkBigint(event?.id, "event.id")
    if (!ids.has(id)) throw new InvalidOptionError("event", event, `${id} is no event of batch ${head.id} that was read from it`)
    if (decision === undefined) decisions.delete(id)
    else decisions.set(id, { id, ...decision })
  }

  async function finish(options: TxOption<unknown> = {}): Promise<FinishResult> {
    checkOptions(options, ["tx"], "options")
    finishing++
    const [row] = await session.run<{ dead: string | null }>(statements.finish, [...name, JSON.stringify([...decisions.values()])], options as TxOption<Tx>).finally(() => finishing--)
    ended = true
    return { dead: row!.dead === null ? [] : row!.dead.slice(1, -1).split(",").filter(Boolean) }
  }

  // Of a batch that is just being finished a renewal may hear it first.
  function lose(): void {
    if (!ended && finishing === 0) controller.abort(new StaleBatchError(stream, subscription, head.id))
  }

  async function hold(ms: number | null): Promise<void> {
    const [row] = await session.run<{ held: boolean }>(statements.renew, [...name, ms])
    if (row!.held) return
    lose()
    throw new StaleBatchError(stream, subscription, head.id)
  }

  const list = async (): Promise<StreamEvent[]> => {
    const all: StreamEvent[] = []
    for await (const event of events()) all.push(event)
    return all
  }

  return {
    id: head.id,
    stream,
    subscription,
    count: head.count,
    attempt: head.attempt,
    retried: head.retried,
    openedAt: new Date(head.openedAt),
    signal: controller.signal,
    head,
    events,
    list,
    retry: (event, options = {}) => {
      checkOptions(options, ["delay", "error"], "options")
      const { delay, error } = options
      decide(event, { error: encodeError(error), ...(delay !== undefined && { delay: milliseconds(delay, "delay") }) })
    },
    deadLetter: (event, options = {}) => {
      checkOptions(options, ["error"], "options")
      decide(event, { dead: true, error: encodeError(options.error) })
    },
    done: (event) => decide(event, undefined),
    finish,
    release: async () => {
      await hold(null)
      ended = true
    },
    renew: () => hold(head.leaseFor),
    lock: async (tx) => void (await session.run(statements.lock, [...name], { tx: tx as Tx })),
    decide,
    forgetEnd: () => {
      ended = false
      decisions.clear()
    },
    hasEnded: () => ended,
    lose,
  }
}
