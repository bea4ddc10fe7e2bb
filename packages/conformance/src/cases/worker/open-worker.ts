import type { Client, Handler, QueueOptions, Worker, WorkerEvents, WorkerOptions } from "@sluice/core"
import { eventually, inTime } from "../../assert.ts"
import type { CaseContext } from "../../case.ts"
import { openQueue, type OpenQueue } from "../queue/open-queue.ts"

type Name = keyof WorkerEvents

export interface OpenWorker {
  readonly worker: Worker
  /** The names of what it told, in order, without those of its looks at empty queues. */
  names(): Name[]
  /** What it told under a name. */
  told<N extends Name>(name: N): WorkerEvents[N][]
  /** Waits until it has told this so often, and returns what it told last. */
  tells<N extends Name>(name: N, times?: number): Promise<WorkerEvents[N]>
  drain(): Promise<void>
}

/** Of a worker in a case: its first look is soon, and maintenance is nobody's business here. */
const brisk: WorkerOptions = { maintenance: false, pollInterval: "20ms" }

const all: readonly Name[] = ["start", "done", "retry", "snooze", "dead", "cancelled", "released", "lost", "idle", "error", "stopped"]

/** A worker that is not started yet, and is stopped after the case. */
export function openWorker(context: CaseContext, client: Client, handlers: readonly Handler[], options: WorkerOptions = {}): OpenWorker {
  const worker = client.worker(handlers, { ...brisk, ...options })
  const events: { readonly name: Name; readonly event: WorkerEvents[Name] }[] = []
  for (const name of all) worker.on(name, (event) => void events.push({ name, event }))
  context.after(() => inTime(worker.stop({ timeout: 0 }), "worker.stop()"))
  const told = <N extends Name>(name: N): WorkerEvents[N][] => events.filter((one) => one.name === name).map(({ event }) => event as WorkerEvents[N])
  return {
    worker,
    names: () => events.map(({ name }) => name).filter((name) => name !== "idle"),
    told,
    tells: async (name, times = 1) => {
      await eventually(() => told(name).length >= times, true, `a "${name}" event; told: ${events.map((one) => one.name).join(", ")}`)
      return told(name).at(-1)!
    },
    drain: () => inTime(worker.drain(), "drain()", 10_000),
  }
}

/** A worker of one queue, with a handler and its options. */
export async function openQueueWorker(
  context: CaseContext,
  handler: (queue: OpenQueue["queue"]) => Handler,
  { queue: queueOptions, ...options }: WorkerOptions & { readonly queue?: QueueOptions } = {},
): Promise<OpenQueue & OpenWorker> {
  const opened = await openQueue(context, queueOptions)
  return { ...opened, ...openWorker(context, opened.client, [handler(opened.queue)], options) }
}

/** Where a message is: its state in its queue, its outcome in the archive, or gone; the attempts charged, and the errors kept. */
export async function whereabouts({ admin }: Client, id: string): Promise<[where: string, attempt?: number, errors?: string[]]> {
  const [waits, archived] = [await admin.messages.get(id), await admin.archive.get(id)]
  const found = waits ?? archived
  if (found === null) return ["gone"]
  return [waits?.state ?? archived!.outcome, found.attempt, found.errors.map(({ message }) => message)]
}

/** Resolves with the reason once the signal fires. */
export function fired(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(signal.reason)
    signal.addEventListener("abort", () => resolve(signal.reason), { once: true })
  })
}

/** The code of an error of core's own. */
export const codeOf = (error: unknown): unknown => (error as { code?: unknown } | undefined)?.code

export const numbered = (count: number): { payload: number }[] => Array.from({ length: count }, (_, payload) => ({ payload }))
