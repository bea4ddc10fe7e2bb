import type { Pool, PoolClient } from "pg"
import { runStatement } from "../reference-driver.ts"
import { replacing, type Mutant, type PgDriver } from "./mutant.ts"

const within = "within the driver's own transaction:"

type Transaction = PgDriver["transaction"]

/** transaction() by hand, with one step of it changed. */
function stepping(
  pool: Pool,
  steps: {
    begin?: string
    commit?: (client: PoolClient) => Promise<unknown>
    rollback?: (client: PoolClient) => Promise<unknown>
    release?: (client: PoolClient, failed: boolean) => void
    wrap?: (error: unknown) => unknown
  },
): Transaction {
  const {
    begin = "begin",
    commit = async (client) => {
      const { command } = await client.query("commit")
      if (command !== "COMMIT") throw new Error("rolled back")
    },
    rollback = (client) => client.query("rollback"),
    release = (client) => client.release(),
    wrap = (error) => error,
  } = steps
  return async (work) => {
    const client = await pool.connect()
    let failed = true
    try {
      await client.query(begin)
      const value = await work(client)
      await commit(client)
      failed = false
      return value
    } catch (error) {
      await rollback(client)
      throw wrap(error)
    } finally {
      release(client, failed)
    }
  }
}

/** within() that does something before and after every statement. */
function around(before: string, after: string): PgDriver["within"] {
  return (tx) => ({
    async query(...[text, values, options]) {
      if (before !== "") await tx.query(before)
      const rows = await runStatement(tx, text, values, options)
      if (after !== "") await tx.query(after)
      return rows as never
    },
  })
}

/** Drivers that treat transactions wrongly. */
export const transactionMutants: readonly Mutant[] = [
  replacing("commits a joined transaction", `${within} what the caller rolls back leaves nothing`, () => ({
    within: around("", "commit"),
  })),
  replacing("begins a transaction in within()", `${within} the caller alone commits`, () => ({
    within: around("begin", "commit"),
  })),
  replacing("opens a savepoint in within()", `${within} opens no savepoint of its own`, () => ({
    within: around("savepoint sluice", "release savepoint sluice"),
  })),
  replacing(
    "checks the connection in within()",
    "within() sends nothing by itself, and one statement for a query",
    () => ({
      within: around("select 1", ""),
    }),
  ),
  replacing("ignores tx", `${within} every statement runs in that one transaction`, (driver) => ({
    within: () => driver,
  })),
  replacing("takes a lost tx for the pool", "within(undefined) throws", (driver) => ({
    within: (tx) => (tx ? driver.within(tx) : driver),
  })),
  replacing(
    "runs within() on another connection",
    "within a transaction of the user's library: the caller alone commits",
    (driver, pool) => {
      const others = new Map<PoolClient, Promise<PoolClient>>()
      const other = async (tx: PoolClient): Promise<PoolClient> => {
        const client = await pool.connect()
        await client.query("begin")
        others.set(tx, Promise.resolve(client))
        return client
      }
      return {
        within: (tx) => ({
          query: async (...args) => (await runStatement(await (others.get(tx) ?? other(tx)), ...args)) as never,
        }),
        close: async () => {
          for (const client of others.values()) (await client).release(true)
        },
      }
    },
  ),
  replacing(
    "rolls back by itself after a failed statement",
    `${within} a failed statement does not end it`,
    (driver) => ({
      within: (tx) => ({
        query: (...args) =>
          driver
            .within(tx)
            .query(...args)
            .catch(async (error: unknown) => {
              await tx.query("rollback")
              throw error
            }) as Promise<never>,
      }),
    }),
  ),
  replacing(
    "resolves a commit that rolled back",
    "rejects when work swallowed the error of a failed statement",
    (_, pool) => ({
      transaction: stepping(pool, { commit: (client) => client.query("commit") }),
    }),
  ),
  replacing("resolves a failed commit", "rejects when the commit itself fails", (_, pool) => ({
    transaction: stepping(pool, { commit: (client) => client.query("commit").catch(() => undefined) }),
  })),
  replacing("commits when work throws", "rolls back when work throws, and rejects with that very error", (_, pool) => ({
    transaction: stepping(pool, { rollback: (client) => client.query("commit") }),
  })),
  replacing("wraps the error of work", "rolls back when work throws, and rejects with that very error", (_, pool) => ({
    transaction: stepping(pool, { wrap: (error) => new Error("the transaction failed", { cause: error }) }),
  })),
  replacing("forgets the value of work", "commits and resolves with the value of work", (driver) => ({
    transaction: async (work) => {
      await driver.transaction(work)
      return undefined as never
    },
  })),
  replacing("begins serializable", "transaction() has the level that the server gives by default", (_, pool) => ({
    transaction: stepping(pool, { begin: "begin isolation level serializable" }),
  })),
  replacing("leaks a connection", "failing transactions give their connections back", (_, pool) => ({
    transaction: stepping(pool, { release: (client, failed) => failed || client.release() }),
  })),
  replacing(
    "gives a connection back with its transaction open",
    "no transaction stays open after failures",
    (_, pool) => ({
      transaction: stepping(pool, { rollback: async () => undefined }),
    }),
  ),
  replacing("shares one connection among transactions", "two transactions at once stay apart", (_, pool) => {
    let shared: Promise<PoolClient> | undefined
    return {
      transaction: async (work) => {
        const client = await (shared ??= pool.connect())
        await client.query("begin")
        const value = await work(client)
        await client.query("commit")
        return value
      },
      close: async () => (await shared)?.release(true),
    }
  }),
  replacing("keeps a failed savepoint", "savepoint(): a failed statement inside leaves the transaction usable", () => ({
    savepoint: async (tx, work) => {
      await tx.query("savepoint inner_work")
      return work(tx)
    },
  })),
  replacing("runs savepoint() without a savepoint", "savepoint(): an inner rollback keeps the outer work", () => ({
    savepoint: (tx, work) => work(tx),
  })),
  replacing(
    "runs a worker's statements outside of its transaction",
    "a handler that throws: its effect never was, the attempt is charged, the error kept",
    (driver) => ({ within: () => driver }),
  ),
  replacing("resolves a failed commit, to a worker", "a commit that fails: the effect never was, the message is retried, and the error says why", (_, pool) => ({
    transaction: stepping(pool, { commit: (client) => client.query("commit").catch(() => undefined) }),
  })),
  replacing("runs savepoint() without a savepoint, to a worker", "batch: one fails in its savepoint, the others stay", () => ({
    savepoint: (tx, work) => work(tx),
  })),
  replacing("publishes outside of the transaction", "publish and publishBatch in a transaction that rolls back never was", (driver) => ({
    within: () => driver,
  })),
]
