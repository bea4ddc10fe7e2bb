import { checkBoolean, checkOptions, describe, validateName } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"
import type { Session } from "../session.ts"
import type { StaleBatchError } from "../stream-errors.ts"
import type { WakeHub } from "../wake-hub.ts"
import { type Batch, createBatch, type OpenBatch } from "./batch.ts"
import type { EventSchemas, EventTypes, StreamEvent } from "./event.ts"
import { forward, type ForwardOptions, type ForwardResult, type ForwardTarget } from "./forward.ts"
import { keepLease } from "./keep-lease.ts"
import { type BatchLimits, batchLimitKeys, checkLimits, checkLoop, type CheckedLimits, nextBatch, type Reader } from "./next-batch.ts"

export interface SubscriptionOptions {
  /**
   * Who reads, up to 500 characters. The same owner gets the batch back that it has open, at once, after a restart too; another waits for the end of its lease.
   * So no two readers at the same time may have one. Default: one that no other process has; of a member, one that no other has.
   */
  readonly owner?: string
  /** Shares the subscription with its other members: each gets whole batches of its own, at the same time. Order holds within a batch only. Default false: one batch at a time is out. */
  readonly member?: boolean
}

export interface LoopOptions extends BatchLimits {
  /** Ends the loop between two batches. */
  readonly signal?: AbortSignal
}

/** A subscription as one reader sees it. No I/O until it is read. Every call rejects with `SubscriptionNotFoundError` where there is none. */
export interface Subscription<Types extends EventTypes = EventTypes, Tx = unknown> {
  readonly stream: string
  readonly name: string
  readonly owner: string
  /** The batch that this owner has open, or the next one; null where there is nothing for it now. One that it had open keeps the lease that it has, and is another delivery once that is over. Hold it longer with `batch.renew`. READ COMMITTED, in a transaction of its own. */
  nextBatch(options?: BatchLimits): Promise<Batch<Types, Tx> | null>
  /** Batch after batch, waiting where there is none, each renewed while the body runs. One that the body has not ended is finished when the loop goes on; breaking off leaves it open. */
  batches(options?: LoopOptions): AsyncIterableIterator<Batch<Types, Tx>>
  /** Event after event. A batch is finished when an event is asked for after its last one; breaking off, after its last one too, leaves it open, and all of it comes again. */
  events(options?: LoopOptions): AsyncIterableIterator<StreamEvent<Types>>
  /**
   * Copies batch after batch, in order, into a stream or queue of the same or another database: each in one transaction there, with how far it has come, so
   * that whatever is killed nothing is lost, and nothing copied twice. One copies at a time, the next waits; nobody else should read this subscription. The header `sluice` of a copy has the
   * source's `id`, `at` and `txid`. Resolves when the signal aborts; rejects with the first error, after which it may be called again. See `admin.promoteStream`.
   */
  forward(target: ForwardTarget, options?: ForwardOptions<Types>): Promise<ForwardResult>
}

const FIRST_PAUSE = 5
const LONGEST_PAUSE = 1000
/** Names this process among all that read. */
const PROCESS = `${(globalThis as { process?: { pid?: number } }).process?.pid ?? "reader"}-${crypto.randomUUID().slice(0, 8)}`

export function createSubscription<Types extends EventTypes, Tx>(session: Session<Tx>, hub: WakeHub, stream: string, schemas: EventSchemas | undefined, name: string, options: SubscriptionOptions): Subscription<Types, Tx> {
  validateName(name, "subscription")
  checkOptions(options, ["owner", "member"], "options")
  const shared = checkBoolean(options.member === undefined ? false : options.member, "member")
  const { owner = shared ? `${PROCESS}-${crypto.randomUUID().slice(0, 8)}` : PROCESS } = options
  checkOwner(owner)
  const reader: Reader = { stream, subscription: name, owner, shared }
  const next = (limits: CheckedLimits): Promise<OpenBatch | null> => openNext(session, reader, schemas, limits)

  async function* batches(how: LoopOptions = {}): AsyncGenerator<OpenBatch> {
    checkLoop(how)
    const { signal, ...limits } = how
    const checked = checkLimits(limits)
    const waker = hub.subscribe(stream)
    try {
      for (let pause = FIRST_PAUSE; ; ) {
        if (signal?.aborted) return
        waker.reset()
        const batch = await next(checked)
        if (batch === null) {
          await waker.wait(pause, signal)
          pause = Math.min(pause * 2, LONGEST_PAUSE)
          continue
        }
        pause = FIRST_PAUSE
        const stop = keepLease(batch)
        try {
          yield batch
        } finally {
          stop()
        }
        if (!batch.hasEnded()) await batch.finish()
      }
    } finally {
      waker.close()
    }
  }

  async function* events(how: LoopOptions = {}): AsyncGenerator<StreamEvent> {
    for await (const batch of batches(how)) {
      for await (const event of batch.events()) {
        if (how.signal?.aborted) return
        yield event
        if (batch.signal.aborted) throw batch.signal.reason as StaleBatchError
      }
    }
  }

  return {
    stream,
    name,
    owner,
    nextBatch: async (limits = {}) => {
      checkOptions(limits, batchLimitKeys, "options")
      return (await next(checkLimits(limits))) as Batch<Types, Tx> | null
    },
    batches: (how) => batches(how) as AsyncGenerator<Batch<Types, Tx>>,
    events: (how) => events(how) as AsyncGenerator<StreamEvent<Types>>,
    // Of its own name: two of one owner would share a batch.
    forward: async (target, how = {}) => {
      const forwarder: Reader = { stream, subscription: name, owner: `forward-${crypto.randomUUID()}`, shared: false }
      return forward({ session, hub, reader: forwarder, schemas, open: (limits, by) => openNext(session, forwarder, by, limits, true) }, target, how)
    },
  }
}

export async function openNext<Tx>(session: Session<Tx>, reader: Reader, schemas: EventSchemas | undefined, limits: CheckedLimits, durable = false): Promise<OpenBatch | null> {
  const found = await nextBatch(session, reader, limits, durable)
  if (found === null) return null
  const installation = await session.installation()
  return createBatch({ session, reader, events: { stream: reader.stream, schemas, installation }, ...found, chunk: limits.chunk })
}

function checkOwner(owner: unknown): void {
  if (typeof owner !== "string" || owner.length < 1 || owner.length > 500 || owner.includes("\0") || !owner.isWellFormed()) {
    throw new InvalidOptionError("owner", owner, `must be a string of 1 to 500 characters without U+0000 and lone surrogates, got ${describe(owner)}`)
  }
}
