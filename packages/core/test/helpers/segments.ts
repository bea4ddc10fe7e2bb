import type { Batch, StreamOptions } from "@sluice/core"
import type { Harness } from "./harness.ts"
import { moveClock } from "./move-clock.ts"

export type Did = "nothing" | "rotated" | "truncated" | "held" | "kept" | "refused"

/** What tests of rotation ask of a stream. The clock of a file goes forth only, by `later`. */
export function segments({ client, pool }: Pick<Harness, "client" | "pool">, prefix = "stream") {
  let made = 0
  let offset = 0
  const later = (seconds: number): Promise<void> => moveClock(pool, `${(offset += seconds)} seconds`)
  const table = async (name: string): Promise<string> => `sluice.event_s${(await client.admin.getStream(name)).id}`
  const rotate = async (name: string): Promise<Did> => {
    const { rows } = await pool.query<{ did: Did }>("select did from sluice.rotate_step($1)", [name])
    return rows[0]!.did
  }
  return {
    later,
    table,
    freshStream: async (options: StreamOptions = {}): Promise<string> => (await client.admin.createStream(`${prefix}.${++made}`, { lagLimit: null, ...options })).name,
    /** How many events each of the three segments stores. */
    stored: async (name: string): Promise<number[]> => {
      const events = await table(name)
      const { rows } = await pool.query<{ counts: number[] }>(`select array(select (select count(*)::int from ${events} where segment = k) from generate_series(0, 2) k) as counts`)
      return rows[0]!.counts
    },
    rotate,
    /** A step when the rotation period is over. */
    turn: async (name: string): Promise<Did> => {
      await later(3 * 3600)
      return rotate(name)
    },
    /** Steps until there is nothing to be done at this moment. */
    settle: async (name: string): Promise<Did[]> => {
      const did: Did[] = []
      for (let one = await rotate(name); ; one = await rotate(name)) {
        did.push(one)
        if (!["rotated", "truncated"].includes(one)) return did
      }
    },
    publish: (name: string, ...texts: string[]): Promise<string[]> => client.stream(name).publishBatch(texts.map((data) => ({ type: "said", data }))),
    next: (name: string, subscription: string, maxEvents = 1000): Promise<Batch<any, any> | null> => client.stream(name).subscription(subscription).nextBatch({ maxEvents }),
    /** Reads and finishes all there is, and returns the data. */
    drain: async (name: string, subscription: string, maxEvents = 1000): Promise<unknown[]> => {
      const data: unknown[] = []
      for (;;) {
        const batch = await client.stream(name).subscription(subscription).nextBatch({ maxEvents })
        if (batch === null) return data
        for (const event of await batch.list()) data.push(event.data)
        await batch.finish()
      }
    },
  }
}
