import { checkBigint, checkDate, checkOneOf, checkOptions, describe, validateQueueName } from "../check.ts"
import { type Duration, positiveMilliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"

/** A message that another one waits for: its id, of the same queue, or of another one, or the `ref` of an item of the same batch. */
export type Predecessor = string | { readonly queue: string; readonly id: string } | { readonly ref: string }

/** What may be said of a message beyond when and how urgent. */
export interface SpecialOptions {
  /**
   * Unique among the messages of its queue: while one of this key is there, another is not sent, and the id of the one that is there
   * is returned. Who holds it in an open transaction is waited for.
   */
  readonly key?: string
  /** How long the key holds: until the message has left its queue, or only until a reader first gets it. Default `"settled"`. */
  readonly keyUntil?: "settled" | "started"
  /** At most one message of this key in so much time, whatever becomes of it. Instead of `keyUntil`. */
  readonly throttle?: Duration
  /** Each send of this key puts the message off by this long, and replaces it: the last one counts. Instead of `delay`. */
  readonly debounce?: Duration
  /**
   * What a send does whose key is taken. `"keep"` (default) sends nothing. `"error"` throws `KeyConflictError`. `"replace"` puts this message in place
   * of the one that waits, under its id; of one that somebody holds a new one is sent.
   */
  readonly onConflict?: "keep" | "replace" | "error"
  /** Messages of one group are delivered as the queue says: strictly one after the other (`fifo`), so many at once (`groupConcurrency`), in turn with other groups. */
  readonly group?: string
  /** After this time the message is not delivered any more. */
  readonly expireAt?: Date
  /** Delivered only when all of these are done. One that is not there counts as done. They cannot be settled before the sender's transaction ends. */
  readonly after?: readonly Predecessor[]
  /** What becomes of the message when one of these ends otherwise: cancelled (default), it runs, or it waits for a redrive. */
  readonly ifFailed?: "cancel" | "run" | "wait"
  /** Names this item for the `after` of others of its batch. */
  readonly ref?: string
}

export const specialKeys = ["key", "keyUntil", "throttle", "debounce", "onConflict", "group", "expireAt", "after", "ifFailed", "ref"] as const

export const isSpecial = (options: object): boolean => specialKeys.some((key) => (options as Record<string, unknown>)[key] !== undefined)

const statement = {
  name: "send_with",
  text: "select fault::text as fault, id::text as id, created from {schema}.try_send_with($1::text, $2::text::jsonb)",
}

export interface Sent {
  readonly id: string
  /** False of one that had been there, by its key. */
  readonly created: boolean
}

/** `items` are JSON texts, as the SQL function takes them. */
export function sendWith<Tx>(session: Session<Tx>, queue: string, items: readonly string[], options: TxOption<Tx>): Promise<Sent[]> {
  return session.run<Sent>(statement, [queue, `[${items.join(",")}]`], options)
}

/** The special options of one message, checked, as members of a JSON object. `refs`: the place in the batch of each name. */
export function encodeSpecial(options: SpecialOptions & { readonly delay?: unknown; readonly at?: unknown }, where: string, refs: ReadonlyMap<string, number>): Record<string, unknown> {
  const { key, keyUntil, throttle, debounce, onConflict, group, expireAt, after, ifFailed } = options
  const field = (name: string): string => (where === "options" ? name : `${where}.${name}`)
  if (key === undefined) {
    for (const name of ["keyUntil", "throttle", "debounce", "onConflict"] as const) {
      if (options[name] !== undefined) throw new InvalidOptionError(field(name), options[name], "needs a key")
    }
  }
  if (debounce !== undefined && (options.delay !== undefined || options.at !== undefined || onConflict === "keep" || onConflict === "error" || throttle !== undefined)) {
    throw new InvalidOptionError(field("debounce"), debounce, "cannot be given together with delay, at, throttle, or another onConflict than replace")
  }
  if (throttle !== undefined && keyUntil !== undefined) throw new InvalidOptionError(field("throttle"), throttle, "cannot be given together with keyUntil")
  if (after !== undefined && (debounce !== undefined || onConflict === "replace")) throw new InvalidOptionError(field("after"), after, "cannot be given together with debounce, nor with onConflict replace: what is replaced keeps whom it waits for")
  if (ifFailed !== undefined && after === undefined) throw new InvalidOptionError(field("ifFailed"), ifFailed, "needs after")
  return {
    ...(key !== undefined && { key: checkText(key, field("key")) }),
    ...(keyUntil !== undefined && { keyUntil: checkOneOf(keyUntil, ["settled", "started"], field("keyUntil")) }),
    ...(throttle !== undefined && { throttle: positiveMilliseconds(throttle, field("throttle")) }),
    ...(debounce !== undefined && { debounce: positiveMilliseconds(debounce, field("debounce")) }),
    ...(onConflict !== undefined && { onConflict: checkOneOf(onConflict, ["keep", "replace", "error"], field("onConflict")) }),
    ...(group !== undefined && { group: checkText(group, field("group")) }),
    ...(expireAt !== undefined && { expireAt: checkDate(expireAt, field("expireAt")) }),
    ...(after !== undefined && { after: encodeAfter(after, field("after"), refs) }),
    ...(ifFailed !== undefined && { ifFailed: checkOneOf(ifFailed, ["cancel", "run", "wait"], field("ifFailed")) }),
  }
}

function encodeAfter(after: readonly Predecessor[], field: string, refs: ReadonlyMap<string, number>): object[] {
  if (!Array.isArray(after) || after.length > 1000) throw new InvalidOptionError(field, after, `must be an array of at most 1000 messages, got ${describe(after)}`)
  return after.map((one: Predecessor, i) => {
    const at = `${field}[${i}]`
    if (typeof one === "string") return { id: checkBigint(one, at) }
    if (typeof one !== "object" || one === null) throw new InvalidOptionError(at, one, `must be an id, { queue, id } or { ref }, got ${describe(one)}`)
    if ("ref" in one) {
      checkOptions(one, ["ref"], at)
      const index = refs.get(one.ref)
      if (index === undefined) throw new InvalidOptionError(`${at}.ref`, one.ref, "is the ref of no item of this batch")
      return { index }
    }
    checkOptions(one, ["queue", "id"], at)
    validateQueueName(one.queue)
    return { queue: one.queue, id: checkBigint(one.id, `${at}.id`) }
  })
}

/** Keys and groups: 1 to 500 characters that Postgres can store. */
export function checkText(value: unknown, field: string): string {
  if (typeof value !== "string" || value.length === 0 || value.length > 500 || value.includes("\0") || !value.isWellFormed()) {
    throw new InvalidOptionError(field, value, `must be 1 to 500 characters, without U+0000 and lone surrogates, got ${describe(value)}`)
  }
  return value
}

/** The place of each item that has a `ref`, once it is sure that none waits for itself by way of others. */
export function placeRefs(items: readonly SpecialOptions[]): ReadonlyMap<string, number> {
  const refs = new Map<string, number>()
  for (const [i, { ref }] of items.entries()) {
    if (ref === undefined) continue
    checkText(ref, `items[${i}].ref`)
    if (refs.has(ref)) throw new InvalidOptionError(`items[${i}].ref`, ref, `is that of items[${refs.get(ref)}] too`)
    refs.set(ref, i)
  }
  if (refs.size > 0) checkCycles(items, refs)
  return refs
}

function checkCycles(items: readonly SpecialOptions[], refs: ReadonlyMap<string, number>): void {
  const before = items.map(({ after }) => (Array.isArray(after) ? (after as Predecessor[]) : []).flatMap((one) => (typeof one === "object" && one !== null && "ref" in one ? (refs.get(one.ref) ?? []) : [])))
  const waiting = before.map((list) => new Set(list))
  const free = waiting.flatMap((set, i) => (set.size === 0 ? [i] : []))
  const followers = new Map<number, number[]>()
  for (const [i, set] of waiting.entries()) for (const one of set) followers.set(one, [...(followers.get(one) ?? []), i])
  for (let i = 0; i < free.length; i++) {
    for (const follower of followers.get(free[i]!) ?? []) if (waiting[follower]!.delete(free[i]!) && waiting[follower]!.size === 0) free.push(follower)
  }
  const stuck = waiting.findIndex((set) => set.size > 0)
  if (stuck >= 0) throw new InvalidOptionError(`items[${stuck}].after`, items[stuck]!.after, "leads back to itself by way of refs: a cycle could never start")
}
