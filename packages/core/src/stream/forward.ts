import { checkBoolean, checkFunction, describe } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"
import type { MessageOptions } from "../queue/send.ts"
import type { Session } from "../session.ts"
import { ForwardBehindError, StaleBatchError } from "../stream-errors.ts"
import type { Transactions } from "../transactions.ts"
import type { JsonObject } from "../types.ts"
import type { WakeHub } from "../wake-hub.ts"
import type { OpenBatch } from "./batch.ts"
import type { EventSchemas, EventTypes, StreamEvent } from "./event.ts"
import { keepLease } from "./keep-lease.ts"
import { type BatchLimits, type CheckedLimits, checkLimits, checkLoop, type Reader } from "./next-batch.ts"
import type { EventOptions } from "./publish.ts"

/** Where copies go: a `Stream` or `Queue` of any client, over any driver. */
export interface ForwardTarget {
  readonly name: string
  /** @internal */
  readonly inlet: Inlet<unknown>
}

/** How copies get into a stream or queue. */
export interface Inlet<Tx> {
  readonly kind: "stream" | "queue"
  readonly session: Session<Tx>
  readonly transactions: Transactions<Tx>
  put(items: readonly unknown[], tx: Tx): Promise<unknown>
}

/** An event for a stream. */
export interface ForwardedEvent extends EventOptions {
  /** Another stream of the target's client. Default: the target. */
  readonly to?: ForwardTarget
  readonly type: string
  readonly data: unknown
}

/** A message for a queue. */
export interface ForwardedMessage extends Omit<MessageOptions, "ref"> {
  /** Another queue of the target's client. Default: the target. */
  readonly to?: ForwardTarget
  readonly payload: unknown
}

export type ForwardItem = ForwardedEvent | ForwardedMessage

export interface ForwardOptions<Types extends EventTypes = EventTypes> extends BatchLimits {
  /** What becomes of an event: nothing, one item or many, each for the target or another stream or queue of its client. Default: an event as it was stored; for a queue `{ type, key, data }`. */
  readonly map?: (event: StreamEvent<Types>) => Forwarded | Promise<Forwarded>
  /** Ends it between two batches. */
  readonly signal?: AbortSignal
  /** Ends it when there is nothing left to copy, and the target knows how far the other subscriptions are. Default false. */
  readonly once?: boolean
}

type Forwarded = ForwardItem | readonly ForwardItem[] | null | undefined | void

/** What one call has copied. */
export interface ForwardResult {
  readonly batches: number
  /** Events that were read. */
  readonly events: number
}

interface SourceInfo {
  readonly source: string
  readonly subscriptions: unknown
  readonly txids: Readonly<Record<string, string>> | null
  readonly range: string | null
  readonly from: string | null
  readonly to: string | null
  readonly place: string
}

const statements = {
  source: { name: "forward_source", text: "select fault::text as fault, info::text as info from {schema}.try_forward_source($1::text, $2::text, $3::text::bigint, $4::text::bigint)" },
  forward: { name: "forward", text: "select fault::text as fault, verdict from {schema}.try_forward($1::text, $2::text::jsonb, array(select jsonb_array_elements_text($3::text::jsonb)), $4::text::jsonb)" },
}

const FIRST_PAUSE = 5
const LONGEST_PAUSE = 1000

export interface Source<Tx> {
  readonly session: Session<Tx>
  readonly hub: WakeHub
  readonly reader: Reader
  readonly schemas: EventSchemas | undefined
  /** A batch that no crash makes the source forget: the target knows it then. */
  open(limits: CheckedLimits, schemas: EventSchemas | undefined): Promise<OpenBatch | null>
}

/** See `subscription.forward`. */
export async function forward<Types extends EventTypes, Tx>(source: Source<Tx>, target: ForwardTarget, options: ForwardOptions<Types>): Promise<ForwardResult> {
  checkLoop(options, ["map", "once"])
  const { map, signal, once = false, ...limits } = options
  checkTarget(target, "target")
  if (map !== undefined) checkFunction(map, "map")
  checkBoolean(once, "once")
  const checked = checkLimits(limits)
  const copier = createCopier(source, target, map as ForwardOptions["map"])
  // One that has no map gets what was stored, not what a schema makes of it.
  const schemas = map === undefined ? undefined : source.schemas
  const result = { batches: 0, events: 0 }
  const waker = source.hub.subscribe(source.reader.stream)
  try {
    for (let pause = FIRST_PAUSE; ; ) {
      if (signal?.aborted) break
      waker.reset()
      const batch = await source.open(checked, schemas)
      if (batch !== null) {
        pause = FIRST_PAUSE
        if (await copyHeld(batch, copier)) {
          result.batches++
          result.events += batch.count
        }
        continue
      }
      await copier.tell()
      if (once) break
      await waker.wait(pause, signal)
      pause = Math.min(pause * 2, LONGEST_PAUSE)
    }
  } finally {
    waker.close()
  }
  return result
}

/** False where the batch is another forwarder's by now. */
async function copyHeld(batch: OpenBatch, copier: Copier): Promise<boolean> {
  const stop = keepLease(batch)
  try {
    await copier.copy(batch)
    await batch.finish()
    return true
  } catch (error) {
    if (error instanceof StaleBatchError) return false
    // For whoever comes next, at once.
    await batch.release().catch(() => {})
    throw error
  } finally {
    stop()
  }
}

interface Copier {
  copy(batch: OpenBatch): Promise<void>
  /** How far the other subscriptions are, where that is new. */
  tell(): Promise<void>
}

function createCopier<Tx>({ session, reader: { stream, subscription } }: Source<Tx>, target: ForwardTarget, map: ForwardOptions["map"]): Copier {
  const { session: there, transactions } = target.inlet
  let told: string | undefined

  async function ask(batch: OpenBatch | null): Promise<SourceInfo> {
    const [row] = await session.run<{ info: string }>(statements.source, [stream, subscription, batch?.head.id ?? null, batch?.head.lease ?? null])
    return JSON.parse(row!.info) as SourceInfo
  }

  async function write(info: SourceInfo, batch: OpenBatch | null, items: ReadonlyMap<ForwardTarget, readonly unknown[]>): Promise<string> {
    const { source, range, from, to, place } = info
    const streams = [...items.keys()].filter(({ inlet }) => inlet.kind === "stream").map(({ name }) => name)
    const head = batch === null ? null : JSON.stringify({ id: batch.head.id, range, from, to, place })
    const state = JSON.stringify(info.subscriptions)
    const verdict = await transactions.run(async (tx) => {
      const [row] = await there.run<{ verdict: string }>(statements.forward, [source, head, JSON.stringify(streams), state], { tx })
      if (row!.verdict === "new") for (const [{ inlet }, list] of items) await inlet.put(list, tx)
      return row!.verdict
    })
    if (verdict !== "behind") told = state
    return verdict
  }

  return {
    copy: async (batch) => {
      const events = await batch.list()
      const info = await ask(batch)
      const items = new Map<ForwardTarget, unknown[]>([[target, []]])
      for (const event of events) {
        for (const item of await itemsOf(event, target, map)) {
          const { to = target, ...rest } = item
          if (to !== target) checkSibling(to, target)
          const list = items.get(to) ?? []
          list.push(withOrigin(rest, info, event))
          items.set(to, list)
        }
      }
      if ((await write(info, batch, items)) !== "behind") return
      // Another forwarder was faster, unless the batch is really this one's: then the source has gone back.
      await batch.renew()
      throw new ForwardBehindError(stream, subscription)
    },
    tell: async () => {
      if (target.inlet.kind === "queue") return
      const info = await ask(null)
      if (JSON.stringify(info.subscriptions) !== told) await write(info, null, new Map())
    },
  }
}

async function itemsOf(event: StreamEvent, target: ForwardTarget, map: ForwardOptions["map"]): Promise<readonly ForwardItem[]> {
  if (map !== undefined) {
    const found = await map(event)
    if (found === undefined || found === null) return []
    return Array.isArray(found) ? (found as readonly ForwardItem[]) : [found as ForwardItem]
  }
  const { type, key, data, headers, extra } = event
  if (target.inlet.kind === "queue") return [{ payload: { type, key, data }, headers }]
  return [{ type, data, headers, extra, ...(key !== null && { key }) }]
}

/** The header `sluice` says where a copy comes from. */
function withOrigin(item: object & { readonly headers?: JsonObject }, { source, txids }: SourceInfo, event: StreamEvent): object {
  const origin = { source, id: event.id, txid: txids![event.id]!, at: event.publishedAt.toISOString() }
  return { ...item, headers: { ...item.headers, sluice: origin } }
}

function checkTarget(target: ForwardTarget, field: string): void {
  if (target?.inlet === undefined) throw new InvalidOptionError(field, target, `must be a stream or a queue, got ${describe(target)}`)
}

function checkSibling(to: ForwardTarget, target: ForwardTarget): void {
  checkTarget(to, "to")
  if (to.inlet.session !== target.inlet.session) throw new InvalidOptionError("to", to.name, "must be of the same client as the target: all is copied in one transaction")
}
