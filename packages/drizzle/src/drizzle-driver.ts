import { sql } from "drizzle-orm"
import type { Driver, SqlExecutor, SqlValue } from "@sluice/core"
import { type Life, whileAlive } from "./life.ts"
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
  const lives = new WeakMap<object, Life | undefined>()
  return {
    name: "drizzle",
    maxConnections: backend.maxConnections,
    query: backend.query,
    within: (tx) => executor(transactionOf(tx), backend, () => lives.get(tx as object)?.over ?? false),
    transaction: (work) => {
      const life: Life = { over: false }
      return keepError(work, (kept) =>
        backend.guard(() =>
          db.transaction(async (tx) => {
            lives.set(tx as object, life)
            const result = await whileAlive(life, kept(tx))
            // Fails where an error was swallowed: COMMIT would be answered by ROLLBACK, which Drizzle does not notice.
            if (!backend.noticesFailure) await transactionOf(tx).execute(sql.raw("select 1"))
            return result
          }),
        ),
      ).finally(() => (life.over = true))
    },
    savepoint: (tx, work) =>
      keepError(work, (kept) =>
        transactionOf(tx).transaction((inner) => {
          const life = lives.get(tx as object)
          lives.set(inner, life)
          return whileAlive(life, kept(inner))
        }),
      ),
    listen: options.listen,
  }
}

function executor(tx: TransactionLike, backend: Backend, isOver: () => boolean): SqlExecutor {
  return {
    query: async (text: string, values: readonly SqlValue[] = []) => {
      // Its connection may already serve others, or, with postgres.js, be gone and throw where nobody can catch it.
      if (isOver()) throw new Error("The transaction is over: it was settled, or its connection was lost")
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
  const target = tx as (TransactionLike & { rollback?: unknown }) | null | undefined
  if (typeof target?.execute === "function" && typeof target.rollback === "function") return target
  throw new TypeError("tx must be the transaction that db.transaction(…) gives to its callback")
}
