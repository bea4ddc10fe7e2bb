import type { Driver, SqlExecutor } from "@sluice/core"

/** The part of a `PGlite` that the driver uses. */
export interface PGliteLike<Tx> {
  query(text: string, values?: any[], options?: any): Promise<{ rows: any[] }>
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  onNotification(onNotify: (channel: string, payload: string) => void): () => void
}

const text = (value: string): string => value
const number = (value: string): number => Number(value)

/** Given with every query: neither the parsers and serializers of the instance nor PGlite's defaults take part. */
const wire = {
  rowMode: "object",
  parsers: {
    ...Object.fromEntries([17, 20, 25, 114, 1042, 1043, 1082, 1114, 1184, 3802].map((oid) => [oid, text])),
    ...Object.fromEntries([21, 23, 26, 700, 701].map((oid) => [oid, number])),
    16: (value: string) => value === "t",
  },
  serializers: new Proxy({}, { get: () => String }),
}

/** How many listen on a channel: an instance has one session for all its drivers. */
const listeners = new WeakMap<object, Map<string, number>>()

const quote = (channel: string): string => `"${channel.replaceAll('"', '""')}"`

/**
 * Sluice over PGlite, a Postgres inside the process with one session: whatever is not part of an open transaction waits
 * for its end. The instance stays the caller's.
 */
export function pgliteDriver<Tx>(db: PGliteLike<Tx>): Driver<Tx> {
  if (typeof db?.query !== "function" || typeof db.transaction !== "function") {
    throw new TypeError("pgliteDriver takes an instance of PGlite")
  }
  const executor = (target: Pick<PGliteLike<Tx>, "query">): SqlExecutor => ({
    query: async (statement, values = []) => (await target.query(statement, [...values], wire)).rows,
  })
  return {
    name: "pglite",
    maxConnections: 1,
    ...executor(db),
    within: (tx) => executor(transactionOf(tx)),
    transaction: (work) =>
      db.transaction(async (tx) => {
        const result = await work(tx)
        // Fails where an error was swallowed: COMMIT would only roll back.
        await transactionOf(tx).query("select 1")
        return result
      }),
    listen: async (channel, onNotify, onReady) => {
      // Not db.listen: it does not undo a doubled quote when it looks for listeners.
      const off = db.onNotification((name, payload) => name === channel && onNotify(payload))
      const names = listeners.get(db) ?? new Map<string, number>()
      listeners.set(db, names.set(channel, (names.get(channel) ?? 0) + 1))
      let over = false
      const unlisten = async (): Promise<void> => {
        if (over) return
        over = true
        off()
        const left = (names.get(channel) ?? 1) - 1
        names.set(channel, left)
        if (left === 0) await db.query(`unlisten ${quote(channel)}`)
      }
      try {
        await db.query(`listen ${quote(channel)}`)
      } catch (error) {
        await unlisten().catch(() => {})
        throw error
      }
      onReady()
      return unlisten
    },
  }
}

function transactionOf<Tx>(tx: Tx): Pick<PGliteLike<Tx>, "query"> {
  const target = tx as Partial<PGliteLike<Tx>> | null | undefined
  if (typeof target?.query === "function" && !("transaction" in target)) return target as PGliteLike<Tx>
  throw new TypeError("tx must be the transaction that db.transaction(…) gives to its callback")
}
