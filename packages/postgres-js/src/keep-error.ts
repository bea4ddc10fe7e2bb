/**
 * Rejects with the error of `work`, where the library has another: it tells the first failed statement, also when the
 * transaction ended for a later reason.
 */
export async function keepError<Tx, T>(
  work: (tx: Tx) => Promise<T>,
  run: (kept: (tx: Tx) => Promise<T>) => Promise<unknown>,
): Promise<T> {
  let first: { error: unknown } | undefined
  try {
    return (await run(async (tx) => {
      try {
        return await work(tx)
      } catch (error) {
        first = { error }
        throw error
      }
    })) as T
  } catch (error) {
    throw first ? first.error : error
  }
}
