import type { Driver } from "./driver.ts"
import type { TxOption } from "./types.ts"

/** Transactions that this client opens: who is sent to in one is woken when it has committed. */
export interface Transactions<Tx> {
  /** Rejects with what `work` rejects with, or the driver's own error. */
  run<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** The object that a library hands out in a savepoint stands for the transaction too. */
  join(inner: Tx, outer: Tx): void
  /** A message was sent: in a transaction of these, in one that nobody here will see commit, or in none. */
  sent(queue: string, options: TxOption<Tx>): void
}

export function createTransactions<Tx>(driver: Driver<Tx>, wake: (queue: string) => void): Transactions<Tx> {
  const sentIn = new WeakMap<object, Set<string>>()
  return {
    run: async (work) => {
      const queues = new Set<string>()
      const result = await driver.transaction((tx) => {
        sentIn.set(tx as object, queues)
        return work(tx)
      })
      queues.forEach(wake)
      return result
    },
    join: (inner, outer) => {
      const queues = sentIn.get(outer as object)
      if (queues !== undefined) sentIn.set(inner as object, queues)
    },
    sent: (queue, { tx }) => {
      if (tx === undefined) wake(queue)
      else sentIn.get(tx as object)?.add(queue)
    },
  }
}
