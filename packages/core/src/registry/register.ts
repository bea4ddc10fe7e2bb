import { checkFunction, checkOptions, describe, validateQueueName } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import type { Session } from "../session.ts"
import { tellError } from "../tell-error.ts"
import { quietTimer } from "../timer.ts"
import { beat, type BeatAnswer, leaveWorker } from "../worker/beat.ts"
import { checkHostname, checkPort, checkWorkerName } from "./check-identity.ts"

export interface RegisterOptions {
  /** Unique among the workers of the installation: whoever registers it again takes its row over. */
  readonly name: string
  /** Shown in lists of workers. */
  readonly hostname?: string
  /** Shown in lists of workers. */
  readonly port?: number
  /** The queues that it reads. Default none. */
  readonly queues?: readonly string[]
  /** Beats by itself this often, from "20ms" to "1d". Default: it is you who calls `beat`, every 30 s or sooner. After three times as long without one it counts as stale. */
  readonly every?: Duration
  /** A beat that it made by itself has failed; the next one comes all the same. Default: nothing. What it throws is dropped. */
  readonly onError?: (error: unknown) => void
}

/** What an operator wants a worker to be. `stopping`: end what you do, and `stop`. */
export type WorkerOrder = Exclude<BeatAnswer["state"], "stopped">

/** The row of a reader that is no `Worker`, but wants to be seen by `admin.workers` and to hear what it is told there. */
export interface Registration {
  readonly name: string
  /** As of the last beat. */
  readonly state: WorkerOrder
  /** Says that it lives, and returns what it is told to be. */
  beat(): Promise<WorkerOrder>
  /** Leaves: the row says `stopped`, until it is purged. Twice is once. */
  stop(): Promise<void>
}

const DEFAULT_EVERY = 30_000

export async function register<Tx>(session: Session<Tx>, options: RegisterOptions): Promise<Registration> {
  const { info, every, onError } = checkRegister(options)
  const { name } = info
  const lanes = info.queues.map((queue) => ({ queue, lease: undefined, held: [] }))
  let timer: ReturnType<typeof setTimeout> | undefined
  let leaving: Promise<void> | undefined
  let inFlight: Promise<WorkerOrder> | undefined

  async function stamp(starting: boolean): Promise<WorkerOrder> {
    return (await beat(session, info, lanes, starting)).state as WorkerOrder
  }

  function beatOnce(): Promise<WorkerOrder> {
    inFlight ??= stamp(false)
      .then((told) => (state = told))
      .finally(() => (inFlight = undefined))
    return inFlight
  }

  function schedule(): void {
    if (every !== undefined && leaving === undefined) timer = quietTimer(() => void tick(), every)
  }

  async function tick(): Promise<void> {
    await beatOnce().catch((error: unknown) => tellError(onError, error))
    schedule()
  }

  async function leave(): Promise<void> {
    clearTimeout(timer)
    await inFlight?.catch(() => {})
    await leaveWorker(session, name)
  }

  let state = await stamp(true)
  schedule()
  return {
    name,
    get state() {
      return state
    },
    beat: async () => {
      if (leaving !== undefined) throw new InvalidOptionError("beat", undefined, "comes after stop: register again")
      return beatOnce()
    },
    stop: async () => (leaving ??= leave()),
  }
}

function checkRegister(options: RegisterOptions) {
  checkOptions(options, ["name", "hostname", "port", "queues", "every", "onError"], "options")
  const { name, hostname, port, queues = [], every, onError } = options
  if (!Array.isArray(queues)) throw new InvalidOptionError("queues", queues, `must be an array of names, got ${describe(queues)}`)
  queues.forEach(validateQueueName)
  const ms = every === undefined ? undefined : milliseconds(every, "every")
  if (ms !== undefined && (ms < 20 || ms > 86_400_000)) throw new InvalidOptionError("every", every, "must be from 20ms to 1d")
  if (onError !== undefined) checkFunction(onError, "onError")
  return {
    info: { name: checkWorkerName(name), hostname: checkHostname(hostname), port: checkPort(port), queues: [...new Set<string>(queues)], every: ms ?? DEFAULT_EVERY },
    every: ms,
    onError,
  }
}
