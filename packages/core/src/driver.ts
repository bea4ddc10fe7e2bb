/**
 * The driver contract: everything Sluice asks of a connection library. Core holds all SQL and all semantics; a driver
 * only runs statements. `@sluice/conformance` proves an implementation and its README teaches how to write one.
 */

/** A value that every driver encodes the same way. JSON and lists travel as text: `$1::text::jsonb`, `$1::text::bigint[]`. */
export type SqlValue = string | number | boolean | null

/** Ends a subscription made by {@link Driver.listen}. Resolves when its connection is closed. */
export type Unlisten = () => Promise<void>

export interface QueryOptions {
  /** Core's stable id of a static text. A driver may prepare by it, and must not when the user's client says not to. */
  readonly name?: string
}

/** Runs statements: on a pool, each in a transaction of its own, or inside a transaction of the caller's. */
export interface SqlExecutor {
  /**
   * Runs exactly one statement with `$1…$n` and returns its rows as plain objects, column names untouched.
   * Values go to the server as they are; text, int4, float8 and bool come back as string, number, number and boolean,
   * whatever parsers or transforms the user's client has. Rejects with the library's own error.
   */
  query<Row>(text: string, values?: readonly SqlValue[], options?: QueryOptions): Promise<Row[]>
}

/** A connected driver. `Tx` is what the library hands out inside a transaction: `PoolClient`, `TransactionSql`, Drizzle's `tx`. */
export interface Driver<Tx = unknown> extends SqlExecutor {
  /** Appears in error messages and reports: `"pg"`, `"postgres-js"`. */
  readonly name: string

  /** How many connections the driver may use at once, where the library tells. */
  readonly maxConnections?: number

  /** Joins a transaction that the caller opened. Never begins, commits or rolls back. Does no I/O by itself. */
  within(tx: Tx): SqlExecutor

  /**
   * Runs `work` in a transaction of the library: commits when it resolves, rolls back when it rejects.
   * Rejects if the commit did not commit, also when `work` swallowed the error of a failed statement.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>

  /** Runs `work` in a savepoint. Only where the library keeps track of savepoints itself; else core issues SAVEPOINT by hand. */
  savepoint?<T>(tx: Tx, work: (tx: Tx) => Promise<T>): Promise<T>

  /**
   * Subscribes to a channel on a connection of its own, never one of the user's pool, and reconnects by itself.
   * `onReady` runs after every (re)connect, because what was notified meanwhile is gone. Resolves once the first
   * subscription stands. Left out where the library cannot: core then polls.
   */
  listen?(channel: string, onNotify: (payload: string) => void, onReady: () => void): Promise<Unlisten>

  /** Ends only what the driver opened itself: what listens, a pool made from a URL, never one that was handed in. */
  close?(): Promise<void>
}
