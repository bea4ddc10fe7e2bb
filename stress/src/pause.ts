import { setTimeout as sleep } from "node:timers/promises"

/** Sleeps, or returns early where the signal fires. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(ms, undefined, signal && { signal }).catch(() => {})
}
