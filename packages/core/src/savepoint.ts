import type { Driver } from "./driver.ts"

/** Runs `work` in a savepoint, with the library's own where it keeps track of them. When it rejects, what it did is undone, and the transaction goes on. */
export async function inSavepoint<Tx, T>(driver: Driver<Tx>, tx: Tx, work: (tx: Tx) => Promise<T>): Promise<T> {
  if (driver.savepoint !== undefined) return driver.savepoint(tx, work)
  const joined = driver.within(tx)
  await joined.query("savepoint sluice")
  try {
    const result = await work(tx)
    await joined.query("release savepoint sluice")
    return result
  } catch (error) {
    await joined.query("rollback to savepoint sluice")
    throw error
  }
}
