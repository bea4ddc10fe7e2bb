import type { Client, Worker, WorkerEvents, WorkerOptions } from "@sluice/core"
import { afterEach } from "vitest"

export type Told = { readonly [Name in keyof WorkerEvents]: { readonly event: Name } & WorkerEvents[Name] }[keyof WorkerEvents]

export interface RunWorkers<Tx> {
  /** A worker that is stopped after the test. `told` grows by what it tells, but for `start` and `idle`. */
  make(handlers: Parameters<Client<Tx>["worker"]>[0], options?: WorkerOptions): { worker: Worker; told: Told[] }
  /** Lets one run until its queues have nothing that is ready, and returns what it told. */
  drain(...handlers: Parameters<Client<Tx>["worker"]>[0]): Promise<Told[]>
}

export function runWorkers<Tx>(client: Client<Tx>): RunWorkers<Tx> {
  const workers: Worker[] = []
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.stop({ timeout: 0 })))
  })
  const make: RunWorkers<Tx>["make"] = (handlers, options = {}) => {
    const worker = client.worker(handlers, { maintenance: false, ...options })
    workers.push(worker)
    const told: Told[] = []
    for (const event of ["done", "retry", "snooze", "dead", "cancelled", "released", "lost", "error"] as const) {
      worker.on(event, (data) => void told.push({ event, ...data } as Told))
    }
    return { worker, told }
  }
  return {
    make,
    drain: async (...handlers) => {
      const { worker, told } = make(handlers)
      await worker.drain()
      return told
    },
  }
}
