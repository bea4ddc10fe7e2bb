import type { Session } from "../session.ts"
import { beat, type BeatAnswer, type BeatLane, type WorkerInfo } from "./beat.ts"

/** Beats from start to stop, every third of the shortest lease, and every 10 s where that is sooner: the server says when. */
export interface Heart {
  /** The first beat: registers the worker. Rejects where it fails. */
  start(): Promise<BeatAnswer>
  /** Beats once more where the last answer is older than this. Whether there is one; never rejects. */
  isInformed(age: number): Promise<boolean>
  stop(): Promise<void>
}

export interface HeartHost {
  readonly info: WorkerInfo
  lanes(): readonly BeatLane[]
  /** With the lanes that the beat told of. */
  onAnswer(answer: BeatAnswer, lanes: readonly BeatLane[]): void
  onError(error: unknown): void
}

/** After a beat that failed: soon enough for leases that have a third of their time left. */
const RETRY = 0.1

export function createHeart<Tx>(session: Session<Tx>, host: HeartHost): Heart {
  let every = 10_000
  /** When the last beat began that was answered. */
  let asOf = -Infinity
  let timer: ReturnType<typeof setTimeout> | undefined
  let inFlight: Promise<void> | undefined
  let stopped = false

  async function once(lanes: readonly BeatLane[], starting: boolean): Promise<BeatAnswer> {
    const now = performance.now()
    const answer = await beat(session, host.info, lanes, starting)
    every = answer.every
    asOf = now
    return answer
  }

  async function tick(): Promise<void> {
    clearTimeout(timer)
    let pause = every
    try {
      const lanes = host.lanes()
      host.onAnswer(await once(lanes, false), lanes)
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
      const answer = await once(host.lanes(), true)
      timer = setTimeout(() => void run(), every)
      return answer
    },
    isInformed: async (age) => {
      const since = performance.now() - age
      if (asOf < since) await run()
      // It may have been in flight already, and asked before.
      if (asOf < since) await run()
      return asOf >= since
    },
    stop: async () => {
      stopped = true
      await inFlight
      clearTimeout(timer)
    },
  }
}
