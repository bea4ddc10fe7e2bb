import { checkBoolean, checkOptions, describe, validateName } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"

/**
 * What is recorded of a table, with the options of PgQ's triggers. Expressions are SQL over the columns of the row, the old one of a delete. They run in every
 * change, as whoever makes it, like any trigger, with nothing but `pg_catalog` on the search_path: functions of yours need their schema's name.
 */
export interface CaptureOptions<Tx> extends TxOption<Tx> {
  readonly stream: string
  /** Columns that are not recorded; an update that touches no other one is no event. */
  readonly ignore?: readonly string[]
  /** Only rows of which this expression is true. */
  readonly when?: string
  /** Columns that name a row, for the event's key: the text of one, of more the JSON array of their texts; of an update as they were before it. Default: the primary key. `[]` for none. */
  readonly key?: readonly string[]
  /** Only these columns are recorded. Default: all. */
  readonly columns?: readonly string[]
  /** Whether the row before an update is recorded, as JSON text in `extra[1]`. Default false. */
  readonly old?: boolean
  /** Expressions that replace parts of the event: its type (`orders.insert`), its data (JSON), and `extra[0]` (`public.orders`) to `extra[3]`. */
  readonly expressions?: { readonly [Part in "type" | "data" | "extra1" | "extra2" | "extra3" | "extra4"]?: string }
  /** Records the change instead of making it; what is not recorded is made. Default false. */
  readonly skip?: boolean
  /** Refuses every change with an error (SQLSTATE SL022). Default false. */
  readonly deny?: boolean
}

export interface CaptureAdmin<Tx> {
  /**
   * Records what happens to a table's rows as events of a stream, in the transactions that do it: `orders.insert`, `orders.update`, `orders.delete`,
   * `orders.truncate`, with the row as data, bigint and numeric as strings. By triggers, which the caller must be allowed to make, and who writes to the table
   * needs no right for; where there are some for this stream they are replaced. A table that is renamed goes on under its name of now. A write fails
   * where the stream refuses its event; where the stream was dropped by force nothing is recorded. Sessions of
   * `session_replication_role` `local` or `replica` record nothing. The table is `name`, `schema.name` or a quoted form. Returns whether it was captured before.
   */
  captureTable(table: string, options: CaptureOptions<Tx>): Promise<boolean>
  /** Removes what `captureTable` made, also for a stream that was dropped since. Returns whether there was something. */
  releaseTable(table: string, options: { readonly stream: string } & TxOption<Tx>): Promise<boolean>
}

const statement = { name: "capture_table", text: "select fault::text as fault, existed from {schema}.try_capture_table($1::text, to_regclass($2::text), $2::text, $3::text::jsonb)" }
const parts = ["type", "data", "extra1", "extra2", "extra3", "extra4"] as const

export function captureAdmin<Tx>(session: Session<Tx>): CaptureAdmin<Tx> {
  const run = async (stream: string, table: string, options: string | null, tx: Tx | undefined): Promise<boolean> => {
    const rows = await session.run<{ existed: boolean }>(statement, [stream, table, options], tx === undefined ? {} : { tx })
    return rows[0]!.existed
  }
  return {
    captureTable: async (table, options) => {
      checkTable(table)
      checkOptions(options, ["stream", "ignore", "when", "key", "columns", "old", "expressions", "skip", "deny", "tx"], "options")
      const { stream, ignore = [], when, key, columns, old = false, expressions = {}, skip = false, deny = false, tx } = options
      validateName(stream, "stream")
      checkOptions(expressions, parts, "expressions")
      const stored = {
        ...(key !== undefined && { key: checkColumns(key, "key") }),
        ...(columns !== undefined && { columns: checkColumns(columns, "columns") }),
        ...(when !== undefined && { when: checkExpression(when, "when") }),
        ignore: checkColumns(ignore, "ignore"),
        ...Object.fromEntries(Object.entries(expressions).map(([part, text]) => [part, checkExpression(text, `expressions.${part}`)])),
        ...(checkBoolean(old, "old") && { old }),
        ...(checkBoolean(skip, "skip") && { skip }),
        ...(checkBoolean(deny, "deny") && { deny }),
      }
      return run(stream, table, JSON.stringify(stored), tx)
    },
    releaseTable: async (table, options) => {
      checkTable(table)
      checkOptions(options, ["stream", "tx"], "options")
      validateName(options.stream, "stream")
      return run(options.stream, table, null, options.tx)
    },
  }
}

function checkTable(table: unknown): void {
  if (typeof table !== "string" || table.length === 0 || table.includes("\0")) throw new InvalidOptionError("table", table, `must be the name of a table, got ${describe(table)}`)
}

function checkColumns(columns: unknown, field: string): readonly string[] {
  if (!Array.isArray(columns) || columns.some((column) => typeof column !== "string" || column.length === 0 || column.includes("\0"))) throw new InvalidOptionError(field, columns, `must be an array of names of columns, got ${describe(columns)}`)
  return columns as string[]
}

function checkExpression(text: unknown, field: string): string {
  if (typeof text !== "string" || text.trim().length === 0 || text.includes("\0")) throw new InvalidOptionError(field, text, `must be an SQL expression, got ${describe(text)}`)
  return text
}
