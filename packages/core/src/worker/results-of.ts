import { encodeJson, type PayloadLimits } from "../json.ts"
import { verdictIn } from "./outcome.ts"

/** What is kept of what a handler returned, for each of its messages, as JSON. What cannot be kept is told, and fails nothing: the work is done. */
export function resultsOf(value: unknown, count: number, limits: Required<PayloadLimits>, whole: boolean, host: { keepsResults(): boolean; onTrouble(error: unknown): void }): (string | undefined)[] {
  if (!host.keepsResults()) return []
  const values: unknown[] = !whole ? [value] : Array.isArray(value) && value.length === count ? value : Array.from({ length: count }, () => value)
  return values.map((one) => {
    if (one === undefined || one instanceof Error || verdictIn(one) !== undefined) return undefined
    try {
      return encodeJson(one, "result", limits)
    } catch (error) {
      host.onTrouble(error)
      return undefined
    }
  })
}
