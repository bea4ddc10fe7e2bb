import type { Client, Handler, Queue, QueueOptions, Worker, WorkerEvents, WorkerOptions } from "@sluice/core"
import type { PoolClient } from "pg"
import { afterEach } from "vitest"
import { harness, type Harness } from "./harness.ts"
import { moveClock } from "./move-clock.ts"
import { eventNames } from "./worker-events.ts"

export interface Watched {
  readonly worker: Worker
  /** What it told but "idle", in order: the name of the event, and of which message. */
  readonly told: { readonly name: keyof WorkerEvents; readonly id: string | undefined; readonly event: WorkerEvents[keyof WorkerEvents] }[]
  /** The names of what was told of a message. */
  of(id: string): string[]
  count(name: keyof WorkerEvents): number
}

export interface WorkerHarness extends Harness {
  queue<T = unknown>(options?: QueueOptions): Promise<Queue<T, T, PoolClient>>
  /** A worker that is stopped after the test; not started. */
  watch(handlers: readonly Handler<PoolClient>[], options?: WorkerOptions, on?: Client<PoolClient>): Watched
  states(queue: string): Promise<{ id: string; state: string; attempt: number; vt: number }[]>
}

/** As `harness`, for tests of workers: the clock is put right and workers are stopped after each test. */
export async function workerHarness(): Promise<WorkerHarness> {
  const base = await harness()
  const { client, pool, freshQueue } = base
  const workers: Worker[] = []
  afterEach(async () => {
    await moveClock(pool, "0")
    await Promise.all(workers.splice(0).map((worker) => worker.stop({ timeout: 0 })))
  })
  return {
    ...base,
    queue: async (options) => client.queue(await freshQueue(options)),
    watch: (handlers, options = {}, on = client) => {
      const worker = on.worker(handlers, { maintenance: false, ...options })
      workers.push(worker)
      return watch(worker)
    },
    states: async (queue) =>
      (await pool.query(
        `select m.id::text as id, sluice.message_state(m.lease, m.vt, sluice.clock()) as state, m.attempt, extract(epoch from m.vt)::float8 * 1000 as vt
          from sluice.message m join sluice.queue q on q.id = m.queue where q.name = $1 order by m.id`,
        [queue],
      )).rows,
  }
}

export function watch(worker: Worker): Watched {
  const told: Watched["told"] = []
  for (const name of eventNames) {
    worker.on(name, (event) => told.push({ name, event, id: "message" in event ? event.message.id : undefined }))
  }
  return {
    worker,
    told,
    of: (id) => told.filter((entry) => entry.id === id).map(({ name }) => name),
    count: (wanted) => told.filter(({ name }) => name === wanted).length,
  }
}
