import { setTimeout as sleep } from "node:timers/promises"

/** Waits until something is seen, and returns it; that it is never seen is the failure. */
export async function until<T>(look: () => T | Promise<T>, what = "it"): Promise<NonNullable<T> & T> {
  for (const deadline = performance.now() + 15_000; ; await sleep(5)) {
    const seen = await look()
    if (seen) return seen as NonNullable<T> & T
    if (performance.now() > deadline) throw new Error(`Waited 15 s until ${what}.`)
  }
}
