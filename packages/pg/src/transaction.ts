import type { ClientLike } from "./pool-like.ts"

/** Runs `work` between BEGIN and COMMIT, and gives the client back whatever happens. */
export async function transaction<T>(client: ClientLike, work: () => Promise<T>): Promise<T> {
  let broken: Error | undefined
  let ended = false
  const onError = (error: Error): void => void (broken ??= error)
  // The pool does not listen to a client that is checked out: a backend that dies would take the process with it.
  client.on("error", onError)
  try {
    await client.query("begin")
    const result = await work()
    const { command } = await client.query("commit")
    ended = true
    if (command === "COMMIT") return result
    throw new Error(`The transaction did not commit: a statement in it failed, and COMMIT was answered by ${command}`)
  } catch (error) {
    // The first error is the one to tell, also when nobody is left to roll back.
    if (!ended && !broken) await client.query("rollback").catch((failure: Error) => (broken ??= failure))
    throw error
  } finally {
    client.release(broken)
    client.removeListener("error", onError)
  }
}
