/** The life of a transaction that the driver opened, shared by its savepoints. */
export interface Life {
  over: boolean
}

/**
 * What postgres.js may hear of `work`: nothing once the transaction is over. It would send COMMIT or ROLLBACK on a
 * connection that is gone, which throws where nobody can catch it and wedges the connection made in its place.
 */
export async function whileAlive<T>(life: Life | undefined, work: Promise<T>): Promise<T> {
  const settle = await work.then(
    (value) => () => value,
    (error: unknown) => () => {
      throw error
    },
  )
  // A connection that is lost rejects its statements first and then its transaction.
  await new Promise((resolve) => setImmediate(resolve))
  return life?.over ? new Promise(() => {}) : settle()
}
