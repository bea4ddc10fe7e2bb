import { type Client, createClient, type Driver, type SqlExecutor } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { Pool, type PoolClient } from "pg"

export interface Route {
  readonly from: string
  readonly to: string
  readonly stream: string
  readonly kind: string
  readonly target: string
}

/** A forwarder, once through, that calls `die` after a statement of this name, or a commit at the target, the nth time that it comes there. `sever` cuts its connections. */
export async function forwardOnce({ from, to, stream, kind, target }: Route, step: string, nth: number, die: (sever: () => void) => Promise<void>): Promise<void> {
  let reached = 0
  /** Else it only tells how far others are. */
  let holding = false
  let dead: Promise<void> | undefined
  const clients: PoolClient[] = []
  const pools = [from, to].map((url) => new Pool({ connectionString: url, max: 3 }).on("error", () => {}).on("connect", (client) => clients.push(client)))
  const sever = (): void => {
    for (const { connection } of clients as unknown as { connection: { stream: { destroy(): void } } }[]) connection.stream.destroy()
  }

  async function at(name: string): Promise<void> {
    if (name === step && ++reached === nth) dead = die(sever)
    await dead
  }
  const watch = (executor: SqlExecutor): SqlExecutor => ({
    query: async (text, values, options) => {
      await dead
      const rows = await executor.query<any>(text, values, options)
      const name = options?.name?.replace(/^sluice_/, "") ?? ""
      if (name === "next_batch") holding = rows.length > 0
      if (holding) await at(name)
      return rows
    },
  })
  const mortal = (pool: Pool): Driver<PoolClient> => {
    const plain = pgDriver(pool)
    const transaction: typeof plain.transaction = async (work) => {
      const result = await plain.transaction(work)
      if (holding) await at("commit")
      return result
    }
    return { ...plain, ...watch(plain), within: (tx) => watch(plain.within(tx)), transaction }
  }
  const [source, there] = pools.map((pool) => createClient(mortal(pool), { listen: false, notify: false })) as [Client, Client]
  try {
    await source.stream(stream).subscription("copy").forward(kind === "queue" ? there.queue(target) : there.stream(target), { once: true, maxEvents: 10, lease: "300ms" })
  } finally {
    await Promise.all(pools.map((pool) => pool.end()))
  }
}
