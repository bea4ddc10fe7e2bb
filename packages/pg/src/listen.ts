import { setTimeout as sleep } from "node:timers/promises"
import type { Unlisten } from "@sluice/core"
import type { ListenClient } from "./pool-like.ts"

interface Session {
  client: ListenClient
  /** Aborts when the connection is lost or the subscription ends. */
  over: AbortSignal
  close(): Promise<void>
}

/** In milliseconds. Tests shorten them. */
export interface Timing {
  probeEvery: number
  probeLimit: number
  closeLimit: number
  firstBackoff: number
  longestBackoff: number
}

const usual: Timing = {
  probeEvery: 10_000,
  probeLimit: 5_000,
  closeLimit: 1_000,
  firstBackoff: 50,
  longestBackoff: 5_000,
}

/** Keeps one connection subscribed until it is told to stop. Rejects if the first attempt fails. */
export async function listen(
  makeClient: () => ListenClient,
  channel: string,
  onNotify: (payload: string) => void,
  onReady: () => void,
  timing: Timing = usual,
): Promise<Unlisten> {
  const stop = new AbortController()
  const subscribe = (): Promise<Session> => open(makeClient(), channel, onNotify, timing, stop.signal)
  const first = await subscribe()
  onReady()
  const kept = keep(first, subscribe, onReady, timing, stop.signal)
  return () => {
    stop.abort()
    return kept
  }
}

async function open(
  client: ListenClient,
  channel: string,
  onNotify: (payload: string) => void,
  timing: Timing,
  stop: AbortSignal,
): Promise<Session> {
  const lost = new AbortController()
  const over = AbortSignal.any([lost.signal, stop])
  const close = async (): Promise<void> => {
    // A peer that went silent never answers the goodbye.
    if (!(await within(timing.closeLimit, client.end()))) client.connection?.stream?.destroy()
    lost.abort()
  }
  client.on("error", (error) => lost.abort(error))
  client.on("end", () => lost.abort(new Error("The connection ended")))
  client.on("notification", (message) => {
    if (!stop.aborted && message.channel === channel) onNotify(message.payload ?? "")
  })
  try {
    // A client that is ended while it connects never settles, hence the race.
    const subscribed = client.connect().then(() => client.query(`listen "${channel.replaceAll('"', '""')}"`))
    await Promise.race([subscribed, ended(over)])
    return { client, over, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function keep(
  first: Session,
  subscribe: () => Promise<Session>,
  onReady: () => void,
  timing: Timing,
  stop: AbortSignal,
): Promise<void> {
  for (let session: Session | undefined = first; ; onReady()) {
    await outlive(session, timing)
    await session.close()
    session = undefined
    for (let delay = timing.firstBackoff; !session; delay = Math.min(delay * 2, timing.longestBackoff)) {
      await pause(delay * (0.5 + Math.random() / 2), stop)
      if (stop.aborted) return
      session = await subscribe().catch(() => undefined)
    }
  }
}

/** Resolves when the session is over, or does not answer any more: no packet tells of a peer that is simply gone. */
async function outlive({ client, over }: Session, timing: Timing): Promise<void> {
  for (;;) {
    await pause(timing.probeEvery, over)
    if (over.aborted || !(await within(timing.probeLimit, client.query("select 1"), over))) return
  }
}

/** Whether `task` succeeded within the time. */
async function within(milliseconds: number, task: Promise<unknown>, over?: AbortSignal): Promise<boolean> {
  const settled = new AbortController()
  const limit = over ? AbortSignal.any([settled.signal, over]) : settled.signal
  const success = task.then(
    () => true,
    () => false,
  )
  const answer = await Promise.race([success, pause(milliseconds, limit).then(() => false)])
  settled.abort()
  return answer
}

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  sleep(milliseconds, undefined, { signal }).catch(() => {})

const ended = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }))
