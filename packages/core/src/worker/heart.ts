import type { Session } from "../session.ts"
import { beat, type BeatAnswer, type BeatLane, type WorkerInfo } from "./beat.ts"

/** Beats from start to stop, every third of the shortest lease, and every minute at least. */
export interface Heart {
  /** The first beat: registers the worker. Rejects where it fails. */
  start(): Promise<BeatAnswer>
  /** A beat now, or the one in flight. Never rejects. */
  beat(): Promise<void>
  stop(): Promise<void>
}

export interface HeartHost {
  readonly info: WorkerInfo
  lanes(): readonly BeatLane[]
  onAnswer(answer: BeatAnswer): void
  onError(error: unknown): void
}

/** After a beat that failed: soon enough for leases that have a third of their time left. */
const RETRY = 0.1

export function createHeart<Tx>(session: Session<Tx>, host: HeartHost): Heart {
  let every = 10_000
  let timer: ReturnType<typeof setTimeout> | undefined
  let inFlight: Promise<void> | undefined
  let stopped = false

  async function once(starting: boolean): Promise<BeatAnswer> {
    const answer = await beat(session, host.info, host.lanes(), starting)
    every = answer.every
    return answer
  }

  async function tick(): Promise<void> {
    clearTimeout(timer)
    let pause = every
    try {
      host.onAnswer(await once(false))
      pause = every
    } catch (error) {
      pause = every * RETRY
      host.onError(error)
    }
    if (!stopped) timer = setTimeout(() => void run(), pause)
  }

  function run(): Promise<void> {
    inFlight ??= tick().finally(() => (inFlight = undefined))
    return inFlight
  }

  return {
    start: async () => {
      const answer = await once(true)
      timer = setTimeout(() => void run(), every)
      return answer
    },
    beat: run,
    stop: async () => {
      stopped = true
      await inFlight
      clearTimeout(timer)
    },
  }
}
