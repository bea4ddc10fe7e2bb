import { checkOptions } from "../check.ts"
import type { SqlExecutor } from "../driver.ts"
import { IsolationLevelError, SchemaVersionError } from "../errors.ts"
import { type Session, typedError } from "../session.ts"
import type { TxOption } from "../types.ts"
import { checkRoles, type Roles, setRoles } from "./roles.ts"
import { functions, migrations } from "../generated/migrations.ts"
import { latestVersion } from "./version.ts"

export interface InstallOptions<Tx> extends TxOption<Tx> {
  /** Sets up roles of least privilege; true takes their default names. An upgrade keeps them up to date by itself. Default false. */
  readonly roles?: boolean | Roles
}

export interface InstallResult {
  /** The version before; 0 where nothing was installed. */
  readonly from: number
  readonly to: number
}

/** One step of the schema, as SQL for teams that apply it with a tool of their own: those past the version that is installed. The last one holds all functions. */
export interface MigrationSql {
  readonly version: number
  readonly name: string
  /** Statements of one transaction, in order, the one that records the version last. */
  readonly statements: readonly string[]
}

export function migrationSql(schema: string): MigrationSql[] {
  const place = (text: string): string => text.replaceAll("{schema}", `"${schema}"`)
  return migrations.map(({ version, name, breaking, statements }) => ({
    version,
    name,
    statements: [
      ...(version === 1 ? [place("create schema if not exists {schema}")] : []),
      ...statements.map(place),
      ...(version === latestVersion ? functions.map(place) : []),
      place(`insert into {schema}.migration (version, name, breaking) values (${version}, '${name}', ${breaking})`),
    ],
  }))
}

/**
 * Brings the schema to this version. Safe to repeat and to run from many processes at once: a transaction-level advisory
 * lock lets one of them work, the others find it done. Keeps all data.
 */
export async function install<Tx>(session: Session<Tx>, options: InstallOptions<Tx>): Promise<InstallResult> {
  checkOptions(options, ["roles", "tx"], "options")
  const roles = checkRoles(options.roles, session.schema)
  const { driver } = session
  try {
    if (options.tx !== undefined) return await migrate(session, driver.within(options.tx), roles)
    return await driver.transaction(async (tx) => {
      const own = driver.within(tx)
      // Whatever default_transaction_isolation says.
      await own.query("set transaction isolation level read committed")
      return migrate(session, own, roles)
    })
  } catch (error) {
    throw typedError(error)
  }
}

async function migrate<Tx>(session: Session<Tx>, executor: SqlExecutor, roles: readonly [string, string][]): Promise<InstallResult> {
  const { schema } = session
  const [level] = await executor.query<{ level: string }>("select current_setting('transaction_isolation') as level")
  if (level && /repeatable|serializable/.test(level.level)) throw new IsolationLevelError(level.level)
  await executor.query("select pg_advisory_xact_lock(hashtextextended('sluice install ' || $1::text, 0))::text as locked", [schema])
  const [found] = await executor.query<{ schema: boolean; installed: boolean }>(
    "select to_regnamespace($1::text) is not null as schema, to_regclass($2::text) is not null as installed",
    [`"${schema}"`, `"${schema}".migration`],
  )
  const from = found?.installed ? await installedVersion(session, executor) : 0
  for (const { version, statements } of migrationSql(schema)) {
    if (version <= from) continue
    // A role that owns only its schema may not even say CREATE SCHEMA IF NOT EXISTS.
    const pending = version === 1 && found?.schema ? statements.slice(1) : statements
    for (const statement of pending) await executor.query(statement)
  }
  await setRoles(executor, schema, roles)
  return { from, to: Math.max(from, latestVersion) }
}

/** Throws where a newer version made the schema unfit for this one. */
async function installedVersion<Tx>(session: Session<Tx>, executor: SqlExecutor): Promise<number> {
  const [row] = await executor.query<{ version: number; broken: boolean }>(
    session.sql(`select coalesce(max(version), 0)::int4 as version, coalesce(bool_or(breaking and version > $1::int4), false) as broken
      from {schema}.migration`),
    [latestVersion],
  )
  if (row?.broken) throw new SchemaVersionError(session.schema, row.version, latestVersion)
  return row?.version ?? 0
}
