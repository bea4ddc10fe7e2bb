import { describe } from "./check.ts"
import { InvalidOptionError, PayloadInvalidError, PayloadTooLargeError } from "./errors.ts"

/** Limits of what may be stored in one message. */
export interface PayloadLimits {
  /** Bytes of JSON text in UTF-8, payload and headers each. Default 8 MiB. */
  readonly maxBytes?: number
  /** Nesting of arrays and objects. Default 100. */
  readonly maxDepth?: number
  /** Keys refused at every level, against prototype pollution downstream. Default `__proto__` and `constructor`. */
  readonly forbiddenKeys?: readonly string[]
}

export const defaultLimits: Required<PayloadLimits> = {
  maxBytes: 8 * 1024 * 1024,
  maxDepth: 100,
  forbiddenKeys: ["__proto__", "constructor"],
}

/** Built-in objects that JSON.stringify makes into something else without a word, mostly into {}. */
const NOT_JSON = /^(Map|Set|WeakMap|WeakSet|WeakRef|Promise|RegExp|Error|(Shared)?ArrayBuffer|DataView|\w+Array|String|Number|Boolean|BigInt|Symbol)$/

const tagOf = (value: object): string => Object.prototype.toString.call(value).slice("[object ".length, -1)

interface Walk {
  readonly limits: Required<PayloadLimits>
  readonly index: number | undefined
  readonly parents: Set<object>
}

/**
 * JSON text of a value that reads back as the value it was, or an error that leads to the first part that would not:
 * JSON.stringify drops, nulls or throws, and jsonb refuses U+0000 and lone surrogates in the middle of a statement.
 */
export function encodeJson(value: unknown, root: string, limits: Required<PayloadLimits>, index?: number): string {
  check(value, root, { limits, index, parents: new Set() })
  const text = JSON.stringify(value)
  checkBytes(text, limits.maxBytes, index === undefined ? root : `${root} of item ${index}`, index)
  return text
}

/** Headers are an object, also once its `toJSON` has been at it. */
export function encodeHeaders(headers: unknown, field: string, limits: Required<PayloadLimits>, index?: number): string {
  const text = typeof headers === "object" && headers !== null && !Array.isArray(headers) ? encodeJson(headers, "headers", limits, index) : ""
  if (!text.startsWith("{")) throw new InvalidOptionError(field, headers, `must be an object, got ${describe(headers)}`)
  return text
}

/** Counts bytes of UTF-8 only where they could be too many: a UTF-16 unit takes three at most. */
export function checkBytes(text: string, limit: number, what: string, index?: number): void {
  if (text.length * 3 <= limit) return
  const bytes = new TextEncoder().encode(text).length
  if (bytes > limit) throw new PayloadTooLargeError(what, bytes, limit, index)
}

function check(value: unknown, path: string, walk: Walk): void {
  const refuse = (reason: string): never => {
    throw new PayloadInvalidError(path, reason, { index: walk.index })
  }
  switch (typeof value) {
    case "string":
      return checkText(value, refuse)
    case "number":
      return Number.isFinite(value) ? undefined : refuse(`${value} is not JSON`)
    case "boolean":
      return
    case "bigint":
      return refuse("a bigint is not JSON; send it as a string")
    case "object":
      return value === null ? undefined : checkObject(value, path, walk, refuse)
    default:
      return refuse(`${typeof value} is not JSON`)
  }
}

function checkText(text: string, refuse: (reason: string) => never): void {
  if (text.includes("\0")) refuse("contains U+0000, which Postgres cannot store")
  if (!text.isWellFormed()) refuse("contains a lone surrogate, which is no Unicode text")
}

function checkObject(value: object, path: string, walk: Walk, refuse: (reason: string) => never): void {
  if (walk.parents.has(value)) refuse("is a cycle: it contains itself")
  if (walk.parents.size >= walk.limits.maxDepth) refuse(`is nested deeper than ${walk.limits.maxDepth} levels`)
  walk.parents.add(value)
  if (value instanceof Date && Number.isNaN(value.getTime())) refuse("is an invalid Date")
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") {
    check((value as { toJSON(key: string): unknown }).toJSON(""), path, walk)
  } else if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) check(value[i], `${path}[${i}]`, walk)
  } else if (NOT_JSON.test(tagOf(value))) {
    refuse(`${tagOf(value)} is not JSON; convert it to a plain object, an array or a string`)
  } else {
    checkEntries(value, path, walk, refuse)
  }
  walk.parents.delete(value)
}

function checkEntries(value: object, path: string, walk: Walk, refuse: (reason: string) => never): void {
  for (const [key, entry] of Object.entries(value)) {
    if (walk.limits.forbiddenKeys.includes(key)) refuse(`has the forbidden key "${key}"`)
    checkText(key, (reason) => refuse(`has a key that ${reason}`))
    // As JSON.stringify does: a property that is undefined is not there.
    if (entry !== undefined) check(entry, `${path}.${key}`, walk)
  }
}
