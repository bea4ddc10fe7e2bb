import postgres from "postgres"
import type { Driver, SqlExecutor } from "@sluice/core"
import { keepError } from "./keep-error.ts"
import { type Life, watch, whileAlive } from "./life.ts"
import { listen } from "./listen.ts"
import { checkTransform, readRows } from "./rows.ts"
import { subscriptions } from "./subscriptions.ts"

/** The type "unknown": the server infers the parameter's type, and no serializer of the client is registered for it. */
const unknownType = 705

/**
 * Sluice over postgres.js. A client that is handed in stays the caller's: `close` leaves it open. From a URL the driver
 * opens a client of its own with the given options, which `close` ends.
 */
export function postgresJsDriver<Types extends Record<string, unknown>>(
  sql: postgres.Sql<Types>,
): Driver<postgres.TransactionSql<Types>>
export function postgresJsDriver(url: string, options?: postgres.Options<{}>): Driver<postgres.TransactionSql>
export function postgresJsDriver(
  source: postgres.Sql | string,
  options?: postgres.Options<{}>,
): Driver<postgres.TransactionSql> {
  const own = ownClient(source, options)
  const sql = own ?? (source as postgres.Sql)
  const { transform, max } = sql.options
  checkTransform(transform)

  // Unprepared statements behind one another on one connection hang for ever behind PgBouncer before 1.21. The hook is
  // the library's own, for BEGIN: false keeps the connection from taking another statement meanwhile.
  const alone = sql.options.prepare === false ? { onexecute: () => false } : {}

  const executor = (target: Pick<postgres.ISql, "unsafe" | "typed">): SqlExecutor => ({
    query: async (text, values = [], { name } = {}) => {
      // Prepared, a warm statement is one round trip; `prepare: false` of the client wins over it. Without
      // `simple: false` a statement without values may be several.
      const settings = { prepare: values.length > 0 || name !== undefined, simple: false, ...alone }
      const parameters = values.map((value) => target.typed(value as string, unknownType))
      return readRows(await target.unsafe(text, parameters, settings).raw(), transform)
    },
  })

  const listening = subscriptions((channel, onNotify, onReady) => listen(sql.options, channel, onNotify, onReady))

  return {
    name: "postgres-js",
    maxConnections: max,
    ...executor(sql),
    within: (tx) => executor(transactionSql(tx)),
    transaction: (work) => {
      const life: Life = { over: false }
      return keepError(work, (kept) =>
        sql.begin((tx) => whileAlive(life, kept(watch(tx, life, "savepoint")))).finally(() => (life.over = true)),
      )
    },
    savepoint: (tx, work) => keepError(work, (kept) => tx.savepoint(kept)),
    listen: listening.listen,
    close: async () => {
      await listening.end()
      await own?.end()
    },
  }
}

function ownClient(source: unknown, options?: postgres.Options<{}>): postgres.Sql | undefined {
  if (typeof source === "string" && /^postgres(ql)?:/.test(source)) return postgres(source, options)
  if (typeof source === "function" && "begin" in source && "options" in source) return undefined
  throw new TypeError(
    "postgresJsDriver takes a client made by postgres(…), or a connection URL (postgres://…) to make one",
  )
}

function transactionSql(tx: postgres.TransactionSql): postgres.TransactionSql {
  if (typeof tx === "function" && "savepoint" in tx) return tx
  throw new TypeError("tx must be the TransactionSql that sql.begin(…) gives to its callback")
}
