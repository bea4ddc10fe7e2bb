import { checkInteger, describe } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"

const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,99}$/
// oxlint-disable-next-line no-control-regex
const HOSTNAME = /^[^\0-\x1f\x7f]{1,255}$/

export function checkWorkerName(name: unknown, field = "name"): string {
  if (typeof name !== "string" || !NAME.test(name)) {
    throw new InvalidOptionError(field, name, `must be 1 to 100 letters, digits and _ . : @ -, the first a letter, a digit or _, got ${describe(name)}`)
  }
  return name
}

export function checkHostname(hostname: unknown): string | null {
  if (hostname === undefined) return null
  if (typeof hostname !== "string" || !HOSTNAME.test(hostname) || !hostname.isWellFormed()) {
    throw new InvalidOptionError("hostname", hostname, `must be a string of 1 to 255 characters without control characters, got ${describe(hostname)}`)
  }
  return hostname
}

export function checkPort(port: unknown): number | null {
  return port === undefined ? null : checkInteger(port, "port", 0, 65_535)
}
