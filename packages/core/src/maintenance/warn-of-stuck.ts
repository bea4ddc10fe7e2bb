import { formatDuration } from "../duration.ts"
import type { StuckSubscription } from "./maintain.ts"

const EVERY = 3_600_000

/** Warns as Node does, so that a stuck subscription is seen where nobody listens: once an hour for each. */
export function warnOfStuck(): (stuck: StuckSubscription) => void {
  const warned = new Map<string, number>()
  return ({ stream, subscription, age, events, expired }) => {
    const { process } = globalThis as { process?: { emitWarning?: (text: string, options: object) => void } }
    const key = `${stream} ${subscription} ${expired}`
    const now = performance.now()
    if (now < (warned.get(key) ?? 0)) return
    warned.set(key, now + EVERY)
    const behind = `The subscription "${subscription}" of "${stream}" is behind by ${events} event(s), the oldest ${formatDuration(Math.max(1000, Math.round(age / 1000) * 1000))} old`
    const text = expired ? `${behind}, and has expired.` : `${behind}: nothing of what it lacks can be removed. Let it read, drop it, or set whenStuck.`
    process?.emitWarning?.(text, { type: "SluiceWarning", code: "SLUICE_STUCK" })
  }
}
