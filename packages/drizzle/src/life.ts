/** The life of a transaction that the driver opened, shared by its savepoints. */
export interface Life {
  over: boolean
}

/**
 * What postgres.js may hear of `work`: nothing once the transaction is over. It would send COMMIT or ROLLBACK on a
 * connection that is gone, which throws where nobody can catch it and wedges the connection made in its place.
 */
export async function whileAlive<T>(life: Life, work: Promise<T>): Promise<T> {
  const settle = await work.then(
    (value) => () => value,
    (error: unknown) => () => {
      throw error
    },
  )
  // A connection that is lost rejects its statements first and then its transaction.
  await new Promise((resolve) => setImmediate(resolve))
  return life.over ? new Promise(() => {}) : settle()
}

/**
 * The same transaction, but that it throws once it is over: its connection may already serve others, or, with
 * postgres.js, be gone, and a statement on it would end the process. `nest` is the method that opens a savepoint.
 */
export function watch<Tx extends object>(tx: Tx, life: Life, nest: string): Tx {
  const check = (): void => {
    if (life.over) throw new Error("The transaction is over: it was settled, or its connection was lost")
  }
  return new Proxy(tx, {
    apply: (target, self, values) => {
      check()
      return Reflect.apply(target as () => unknown, self, values) as unknown
    },
    get: (target, key) => {
      // Not where a promise looks whether it was resolved with another.
      if (key !== "then") check()
      const value: unknown = Reflect.get(target, key)
      if (key !== nest) return value
      return (...values: unknown[]) => {
        check()
        const inner = (work: (tx: object) => Promise<unknown>) => (nested: object) => whileAlive(life, run(work, watch(nested, life, nest)))
        return Reflect.apply(value as () => unknown, target, values.map((one) => (typeof one === "function" ? inner(one as never) : one))) as unknown
      }
    },
  })
}

const run = async <T>(work: (tx: object) => Promise<T>, tx: object): Promise<T> => work(tx)
