import { type Client, createClient, type Driver, type Message, type Worker, type WorkerEvents } from "@sluice/core"
import type { Pool } from "pg"
import { type DriverName, openDriver } from "./drivers.ts"

/** Where a transactional call may be stopped; each but the first and the last has a transaction open. */
export type Point = "claimed" | "begun" | "locked" | "handled" | "settled" | "committed"

/** Called at each point, and waited for. `tx` where there is one. */
type At = (point: Point, tx?: unknown) => Promise<unknown> | undefined

export interface Effects {
  readonly client: Client
  readonly driver: Driver
  /** What a handler does: a row that commits with its message, or its event, or never was. */
  effect(message: Pick<Message, "queue" | "payload">, tx: unknown): Promise<void>
  end(): Promise<void>
}

export async function createEffectTable(pool: Pool): Promise<void> {
  await pool.query("create table effect (queue text not null, n int not null, xact xid8 not null default pg_current_xact_id())")
}

/** The effects that a queue's handlers left, in order. */
export async function effectsOf(pool: Pool, queue: string): Promise<number[]> {
  const { rows } = await pool.query<{ n: number }>("select n from effect where queue = $1 order by n", [queue])
  return rows.map(({ n }) => n)
}

/** A client over any of the drivers, for handlers that leave effects, and that may be stopped on the way. */
export function openEffects(name: DriverName, url: string, max = 3, at: At = () => undefined): Effects {
  const { driver: bare, end } = openDriver(name, url, max)
  const driver = withPoints(bare, at)
  const client = createClient(driver, { listen: false, notify: false })
  return {
    client,
    driver,
    effect: async (message, tx) => {
      await driver.within(tx).query("insert into effect (queue, n) values ($1::text, $2::int)", [message.queue, Number(message.payload)])
      await at("handled", tx)
    },
    end: () => client.close().then(end),
  }
}

function withPoints(driver: Driver, at: At): Driver {
  return {
    ...driver,
    query: async (...statement) => {
      const rows = await driver.query(...statement)
      if (/_(read|next_batch)$/.test(statement[2]?.name ?? "")) await at("claimed")
      return rows as never
    },
    within: (tx) => ({
      query: async (...statement) => {
        const rows = await driver.within(tx).query(...statement)
        if (/_lock(_batch)?$/.test(statement[2]?.name ?? "")) await at("locked", tx)
        if (/_finish(_batch)?$/.test(statement[2]?.name ?? "")) await at("settled", tx)
        return rows as never
      },
    }),
    transaction: async (work) => {
      const result = await driver.transaction(async (tx) => {
        await at("begun", tx)
        return work(tx)
      })
      await at("committed")
      return result
    },
  }
}

/** What a worker tells of its messages, as it comes: `done 1`. Of errors the message: `error no connection`. */
export function tellingOf(worker: Worker): string[] {
  const told: string[] = []
  for (const name of ["done", "retry", "snooze", "dead", "cancelled", "released", "lost"] as const satisfies (keyof WorkerEvents)[]) {
    worker.on(name, ({ message }) => told.push(`${name} ${String(message.payload)}`))
  }
  worker.on("error", ({ error }) => told.push(`error ${(error as Error).message}`))
  return told
}

/** The messages of an error and its causes: Drizzle wraps what the server said. */
export function reasonsOf(error: unknown): string {
  return error instanceof Error ? `${error.message}\n${reasonsOf(error.cause)}` : ""
}
