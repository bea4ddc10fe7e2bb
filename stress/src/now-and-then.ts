import { pause } from "./pause.ts"
import type { Random } from "./random.ts"

/** Does something every so often until the signal fires. */
export async function nowAndThen(random: Random, from: number, to: number, signal: AbortSignal, act: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await pause(random.integer(from, to), signal)
    if (!signal.aborted) await act()
  }
}
