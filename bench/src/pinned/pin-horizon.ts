import { withClient } from "../with-client.ts"

/** Runs `work` while a transaction elsewhere keeps every row version that dies from being removed. */
export function withPinnedHorizon<T>(url: string, work: () => Promise<T>): Promise<T> {
  return withClient(url, async (client) => {
    await client.query("set idle_in_transaction_session_timeout = 0")
    await client.query("begin isolation level repeatable read")
    await client.query("select 1")
    const result = await work()
    await client.query("commit") // rejects if the pin did not last
    return result
  })
}
