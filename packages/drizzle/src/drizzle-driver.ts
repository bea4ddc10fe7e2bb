import { sql } from "drizzle-orm"
import type { Driver, SqlExecutor, SqlValue } from "@sluice/core"
import { type Life, watch, whileAlive } from "./life.ts"
import { backendOf, type Backend } from "./backend.ts"

/** The part of a Drizzle database that the driver uses. */
export interface DrizzleLike<Tx> {
  transaction<T>(work: (tx: Tx) => Promise<T>, config?: any): Promise<T>
  readonly $client: unknown
}

export interface DrizzleDriverOptions {
  /** Drizzle has no LISTEN of its own: borrow one, `pgDriver(pool).listen` or `postgresJsDriver(sql).listen`. */
  listen?: Driver["listen"]
}

/** Two copies of Drizzle have different `SQL` types, hence the untyped statement. */
interface TransactionLike {
  execute(statement: any): Promise<any>
  transaction<T>(work: (tx: any) => Promise<T>): Promise<T>
}

/**
 * Sluice over a Drizzle database on node-postgres or postgres.js. Inside a transaction statements go through
 * `tx.execute`, outside through the client that Drizzle was given, which stays the caller's.
 */
export function drizzleDriver<Tx>(db: DrizzleLike<Tx>, options: DrizzleDriverOptions = {}): Driver<Tx> {
  const backend = backendOf((db as Partial<DrizzleLike<Tx>> | null | undefined)?.$client)
  return {
    name: "drizzle",
    maxConnections: backend.maxConnections,
    query: backend.query,
    within: (tx) => executor(transactionOf(tx), backend),
    transaction: (work) => {
      const life: Life = { over: false }
      return keepError(work, (kept) =>
        backend.guard(() =>
          db.transaction(async (bare) => {
            const tx = watch(bare as object, life, "transaction") as Tx
            const result = await whileAlive(life, kept(tx))
            // Fails where an error was swallowed: COMMIT would be answered by ROLLBACK, which Drizzle does not notice.
            if (!backend.noticesFailure) await transactionOf(tx).execute(sql.raw("select 1"))
            return result
          }),
        ),
      ).finally(() => (life.over = true))
    },
    savepoint: (tx, work) => keepError(work, (kept) => transactionOf(tx).transaction(kept)),
    listen: options.listen,
  }
}

function executor(tx: TransactionLike, backend: Backend): SqlExecutor {
  return {
    query: async (text: string, values: readonly SqlValue[] = []) => {
      // Drizzle numbers its parameters itself. Bound in order in a comment behind the text, they meet the text's own
      // $1…$n, which stay as they are: in literals, in comments, and used twice.
      const parameters = sql.join(
        values.map((value) => sql.param(backend.parameter(value))),
        sql.raw(" "),
      )
      return backend.rows(await tx.execute(sql`${sql.raw(text)}\n-- ${parameters}`))
    },
  }
}

/** Rejects with the error of `work`, also when rolling back failed after it. */
async function keepError<Tx, T>(
  work: (tx: Tx) => Promise<T>,
  run: (kept: (tx: Tx) => Promise<T>) => Promise<T>,
): Promise<T> {
  let first: { error: unknown } | undefined
  try {
    return await run((tx) =>
      work(tx).catch((error: unknown) => {
        first = { error }
        throw error
      }),
    )
  } catch (error) {
    throw first ? first.error : error
  }
}

function transactionOf(tx: unknown): TransactionLike {
  if (typeof tx === "object" && tx !== null && "execute" in tx && "rollback" in tx) return tx as unknown as TransactionLike
  throw new TypeError("tx must be the transaction that db.transaction(…) gives to its callback")
}
