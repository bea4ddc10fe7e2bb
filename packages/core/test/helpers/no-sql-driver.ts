import type { Driver } from "@sluice/core"

/** A driver that runs nothing and remembers that it was asked to: for what must be refused before any SQL. */
export function noSqlDriver(): { driver: Driver<{ tx: true }>; calls: string[] } {
  const calls: string[] = []
  const refuse = async (what: string): Promise<never> => {
    calls.push(what)
    throw new Error(`There was SQL: ${what}`)
  }
  const driver: Driver<{ tx: true }> = {
    name: "no-sql",
    query: refuse,
    within: () => ({ query: refuse }),
    transaction: () => refuse("transaction"),
    listen: () => refuse("listen"),
    close: async () => {},
  }
  return { driver, calls }
}
