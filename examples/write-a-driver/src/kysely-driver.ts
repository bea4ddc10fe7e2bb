import { CompiledQuery, type Kysely, type Transaction } from "kysely"
import type { Driver, SqlExecutor } from "@sluice/core"

/** Sluice over a Kysely database. The database stays the caller's: the driver opens and closes nothing. */
export function kyselyDriver<DB>(db: Kysely<DB>): Driver<Transaction<DB>> {
  return {
    name: "kysely",
    query: executorOf(db).query,
    within: (tx) => {
      // Also refuses the database itself, where types did not: a lost transaction must never become a plain statement.
      if (tx?.isTransaction !== true) throw new TypeError("kyselyDriver: tx must be a Kysely transaction")
      return executorOf(tx)
    },
    transaction: (work) =>
      db.transaction().execute(async (tx) => {
        const result = await work(tx)
        // Fails where work swallowed an error: COMMIT would be answered by ROLLBACK, which Kysely does not notice.
        await tx.executeQuery(CompiledQuery.raw("select 1"))
        return result
      }),
  }
}

function executorOf<DB>(db: Kysely<DB>): SqlExecutor {
  const plain = db.withoutPlugins() // a CamelCasePlugin would rename columns
  return {
    query: async <Row>(text: string, values: readonly unknown[] = []) =>
      (await plain.executeQuery<Row>(CompiledQuery.raw(text, [...values]))).rows,
  }
}
