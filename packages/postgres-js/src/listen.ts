import postgres from "postgres"
import type { Unlisten } from "@sluice/core"

/**
 * The library's own `listen`, on a client made for it from the same options. `sql.listen` of the user's client would
 * keep its connection until that client ends, and go on retrying after a first attempt that failed.
 */
export async function listen(
  options: postgres.ParsedOptions,
  channel: string,
  onNotify: (payload: string) => void,
  onReady: () => void,
): Promise<Unlisten> {
  const listener = postgres({ ...options, max: 1 } as unknown as postgres.Options<{}>)
  let over = false
  const unlisten = (): Promise<void> => {
    over = true
    return listener.end({ timeout: 0 })
  }
  try {
    await listener.listen(
      channel,
      (payload) => over || onNotify(payload),
      () => over || onReady(),
    )
    return unlisten
  } catch (error) {
    await unlisten()
    throw error
  }
}
