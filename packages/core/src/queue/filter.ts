import { checkOptions } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"
import { encodeJson, type PayloadLimits } from "../json.ts"
import type { Json, JsonObject } from "../types.ts"

/**
 * Which messages a read takes: those whose headers, or payload, contain this, as `@>` of jsonb has it. The reader passes over
 * all others that are ready, one by one: meant for a few kinds in a short queue; many kinds are many queues.
 */
export interface ReadFilter {
  readonly headers?: JsonObject
  readonly payload?: Json
}

export function encodeFilter(filter: ReadFilter | undefined, limits: Required<PayloadLimits>): string | null {
  if (filter === undefined) return null
  checkOptions(filter, ["headers", "payload"], "filter")
  const { headers, payload } = filter
  if (headers === undefined && payload === undefined) {
    throw new InvalidOptionError("filter", filter, "must say headers or payload; leave it out to read any message")
  }
  if (headers !== undefined && (typeof headers !== "object" || headers === null || Array.isArray(headers))) {
    throw new InvalidOptionError("filter.headers", headers, "must be an object")
  }
  return encodeJson(filter, "filter", limits)
}
