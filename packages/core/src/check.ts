import { InvalidNameError, InvalidOptionError } from "./errors.ts"

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$/
const SCHEMA = /^[A-Za-z_][A-Za-z0-9_]{0,49}$/

/** Throws unless a queue or stream can have this name: 1 to 63 of letters, digits, `_ . : -`, the first a letter, digit or `_`. */
export function validateQueueName(name: string): void {
  validateName(name, "queue")
}

/** The same rule for whatever has a name. */
export function validateName(name: string, what: string): void {
  if (typeof name !== "string") throw new InvalidNameError(name, `A ${what} name is a string, got ${describe(name)}.`)
  if (!NAME.test(name)) {
    throw new InvalidNameError(name, `"${name}" is no ${what} name: 1 to 63 letters, digits and _ . : - are allowed, and the first is a letter, a digit or _.`)
  }
}

export function validateSchemaName(name: string): void {
  if (typeof name !== "string" || !SCHEMA.test(name) || /^(pg_.*|public|information_schema)$/i.test(name)) {
    throw new InvalidNameError(name, `${describe(name)} is no schema for Sluice: 1 to 50 letters, digits and _ are allowed, not starting with a digit or pg_; and it is Sluice's alone, so not public.`)
  }
}

/**
 * Refuses what is not an object of known options, so that a misspelt one is never ignored. `tx: undefined` is refused too.
 * `advice` is for options that are taken elsewhere.
 */
export function checkOptions(options: unknown, known: readonly string[], where: string, advice: ReadonlyMap<string, string> = new Map()): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new InvalidOptionError(where, options, `options are an object, got ${describe(options)}`)
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) {
      throw new InvalidOptionError(`${where}.${key}`, (options as Record<string, unknown>)[key], advice.get(key) ?? `is no option here; there are ${known.join(", ")}`)
    }
  }
  if ("tx" in options && (options.tx === undefined || options.tx === null)) {
    throw new InvalidOptionError(`${where}.tx`, options.tx, `is ${String(options.tx)}: the transaction got lost on its way, and without it this would take effect at once; leave the key out to mean that`)
  }
}

export function checkInteger(value: unknown, field: string, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw new InvalidOptionError(field, value, `must be an integer from ${min} to ${max}, got ${describe(value)}`)
  }
  return value
}

export function checkBoolean(value: unknown, field: string): boolean {
  if (typeof value !== "boolean") throw new InvalidOptionError(field, value, `must be true or false, got ${describe(value)}`)
  return value
}

export function checkFunction(value: unknown, field: string): void {
  if (typeof value !== "function") throw new InvalidOptionError(field, value, `must be a function, got ${describe(value)}`)
}

export function checkOneOf<const T extends string>(value: unknown, allowed: readonly T[], field: string): T {
  if (!allowed.includes(value as T)) {
    throw new InvalidOptionError(field, value, `must be one of ${allowed.map((a) => `"${a}"`).join(", ")}, got ${describe(value)}`)
  }
  return value as T
}

/** An id or a lease: a decimal string of at most 63 bits. */
export function checkBigint(value: unknown, field: string): string {
  if (typeof value !== "string" || !/^(0|[1-9]\d{0,18})$/.test(value) || BigInt(value) > 9223372036854775807n) {
    throw new InvalidOptionError(field, value, `must be a decimal string of a 63-bit number, got ${describe(value)}`)
  }
  return value
}

/** A queue's name or the start of one. */
export function checkPrefix(value: unknown, field: string): string {
  if (typeof value !== "string" || !/^[A-Za-z0-9_.:-]{0,63}$/.test(value)) {
    throw new InvalidOptionError(field, value, `must be a name or the start of one, got ${describe(value)}`)
  }
  return value
}

/** Epoch milliseconds of a Date that Postgres can hold. */
export function checkDate(value: unknown, field: string): number {
  const ms = value instanceof Date ? value.getTime() : Number.NaN
  // Years 1 to 9999: both sides write them alike.
  if (!(ms >= -62_135_596_800_000 && ms <= 253_402_300_799_999)) {
    throw new InvalidOptionError(field, value, `must be a valid Date, got ${describe(value)}`)
  }
  return ms
}

/** A value as an error message shows it: short, whatever it is. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case "string":
      return value.length > 40 ? `"${value.slice(0, 40)}…"` : `"${value}"`
    case "bigint":
      return `${value}n`
    case "number":
    case "boolean":
    case "symbol":
      return String(value)
    case "object":
      if (value === null) return "null"
      if (value instanceof Date && Number.isNaN(value.getTime())) return "an invalid Date"
      return Array.isArray(value) ? "an array" : `an object (${(value.constructor as { name?: string } | undefined)?.name ?? "no prototype"})`
    default:
      return typeof value === "function" ? "a function" : "undefined"
  }
}
