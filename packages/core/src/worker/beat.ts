import { leaseLists } from "../queue/id-lists.ts"
import type { Session } from "../session.ts"
import type { Held } from "./held.ts"

export interface WorkerInfo {
  readonly name: string
  readonly hostname: string | null
  readonly port: number | null
  readonly queues: readonly string[]
  /** Milliseconds from beat to beat. Default: a third of the shortest lease. */
  readonly every?: number
}

export interface BeatLane {
  readonly queue: string
  /** Milliseconds; undefined is the queue's. */
  readonly lease: number | undefined
  readonly held: readonly Held[]
}

export interface BeatAnswer {
  /** Milliseconds to the next beat. */
  readonly every: number
  readonly state: "running" | "suspended" | "stopping" | "stopped"
  /** Of the queues that are there; leases in milliseconds. */
  readonly queues: Readonly<Record<string, { readonly paused: boolean; readonly lease: number; readonly onInvalid: "deadLetter" | "raise"; readonly results: boolean }>>
  readonly lost: readonly string[]
  readonly cancelled: readonly string[]
}

/* Stamps the worker, keeps its leases and asks what it must know: one statement, whatever it holds. */
const beatStatement = {
  name: "beat",
  text: "select (answer->'fault')::text as fault, answer::text as answer from {schema}.beat($1::text::jsonb, $2::text::jsonb, $3::bool) answer",
}

export async function beat<Tx>(session: Session<Tx>, worker: WorkerInfo, lanes: readonly BeatLane[], starting: boolean): Promise<BeatAnswer> {
  const held = Object.fromEntries(lanes.map(({ queue, lease, held: helds }) => [queue, { lease, ...leaseLists(helds.map(({ message }) => message)) }]))
  const rows = await session.run<{ answer: string }>(beatStatement, [JSON.stringify(worker), JSON.stringify(held), starting])
  return JSON.parse(rows[0]!.answer) as BeatAnswer
}

const leaveStatement = { name: "leave_worker", text: "select {schema}.leave_worker($1::text)::text as left" }

export async function leaveWorker<Tx>(session: Session<Tx>, name: string): Promise<void> {
  await session.run(leaveStatement, [name])
}
