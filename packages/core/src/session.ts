import type { Driver, SqlExecutor, SqlValue } from "./driver.ts"
import { ConnectionError, IsolationLevelError, PermissionDeniedError, SchemaNotInstalledError, SchemaVersionError, SluiceError, StatementCancelledError } from "./errors.ts"
import { errorFromFault } from "./fault.ts"
import { latestVersion } from "./admin/version.ts"
import type { PayloadLimits } from "./json.ts"
import { isConnectionError, reasonOf, sqlState } from "./sql-state.ts"

/** A static text of core. `{schema}` stands for the quoted name of the schema. */
export interface Statement {
  readonly name: string
  readonly text: string
}

/** What every operation works with: the driver, where the schema is, and the limits of payloads. */
export interface Session<Tx> {
  readonly driver: Driver<Tx>
  readonly schema: string
  readonly limits: Required<PayloadLimits>
  /** Runs a statement of core's, in the caller's transaction where one is given. A `fault` in the answer is thrown. */
  run<Row>(statement: Statement, values: readonly SqlValue[], options?: { readonly tx?: Tx }): Promise<Row[]>
  /** The id of the installation; asks for it once. */
  installation(options?: { readonly tx?: Tx }): Promise<string>
  /** The text of a statement with the schema in place. */
  sql(text: string): string
}

const installationStatement = { name: "installation_id", text: "select {schema}.installation_id() as id" }

export function createSession<Tx>(driver: Driver<Tx>, schema: string, limits: Required<PayloadLimits>): Session<Tx> {
  const texts = new Map<string, string>()
  const sql = (text: string): string => text.replaceAll("{schema}", `"${schema}"`)

  async function run<Row>(statement: Statement, values: readonly SqlValue[], options: { readonly tx?: Tx } = {}): Promise<Row[]> {
    let text = texts.get(statement.name)
    if (text === undefined) texts.set(statement.name, (text = sql(statement.text)))
    const executor: SqlExecutor = options.tx === undefined ? driver : driver.within(options.tx)
    let rows: Row[]
    try {
      rows = await executor.query<Row>(text, values, { name: `${schema}_${statement.name}` })
    } catch (error) {
      if (!MISSING.has(sqlState(error) ?? "")) throw typedError(error)
      // A transaction that failed answers no question, and with a pool of one there is no other connection to ask.
      throw options.tx === undefined ? await schemaError(session, error) : new SchemaNotInstalledError(schema, { cause: error })
    }
    const fault = (rows[0] as { fault?: string | null } | undefined)?.fault
    if (!fault) return rows
    const error = errorFromFault(fault)
    if (options.tx === undefined && error instanceof IsolationLevelError) return runCommitted(statement, values)
    throw error
  }

  /** For users whose default_transaction_isolation is above READ COMMITTED: three round trips more, and the claim works. */
  async function runCommitted<Row>(statement: Statement, values: readonly SqlValue[]): Promise<Row[]> {
    try {
      return await driver.transaction(async (tx) => {
        await driver.within(tx).query("set transaction isolation level read committed")
        return run<Row>(statement, values, { tx })
      })
    } catch (error) {
      throw typedError(error)
    }
  }

  let installed: string | undefined
  async function installation(options: { readonly tx?: Tx } = {}): Promise<string> {
    installed ??= (await run<{ id: string }>(installationStatement, [], options))[0]!.id
    return installed
  }

  const session: Session<Tx> = { driver, schema, limits, run, installation, sql }
  return session
}

/**
 * The typed error for an error of the driver's, where there is one that a caller can act on; else the driver's own,
 * untouched: 40001 and 40P01 are the caller's to retry.
 */
export function typedError(error: unknown): unknown {
  if (error instanceof SluiceError) return error
  if (isConnectionError(error)) return new ConnectionError(error, reasonOf(error))
  switch (sqlState(error)) {
    case "42501":
      return new PermissionDeniedError(error, reasonOf(error))
    case "57014":
    case "55P03":
      return new StatementCancelledError(error, reasonOf(error))
    default:
      return error
  }
}

/** No such schema, function, table, column: of a statement of ours, since it is static, that means another schema than ours. */
const MISSING = new Set(["3F000", "42883", "42P01", "42703"])

/** Why a function of ours is not there: nothing is installed, or another version. Asked only outside a transaction. */
async function schemaError<Tx>(session: Session<Tx>, cause: unknown): Promise<unknown> {
  // Roles may only ask the function; version 7 has only the table.
  for (const version of ["{schema}.installed_version()", "(select max(version) from {schema}.migration)"]) {
    try {
      const rows = await session.driver.query<{ version: number }>(session.sql(`select coalesce(${version}, 0)::int4 as version`))
      const installed = rows[0]!.version
      return installed === latestVersion ? cause : new SchemaVersionError(session.schema, installed, latestVersion, { cause })
    } catch {
      continue
    }
  }
  return new SchemaNotInstalledError(session.schema, { cause })
}
