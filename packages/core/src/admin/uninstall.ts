import { checkOptions } from "../check.ts"
import { InvalidOptionError, SchemaNotEmptyError } from "../errors.ts"
import { catalogue } from "../generated/catalogue.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"

export interface UninstallOptions<Tx> extends TxOption<Tx> {
  /** The name of the schema, said once more: everything of Sluice's in it goes, messages and archive. */
  readonly confirm: string
}

const look = {
  name: "find_schema",
  text: `select to_regclass('{schema}.migration') is not null as installed, array_to_string(array(
      select relname::text from pg_class
       where relnamespace = to_regnamespace('{schema}') and relkind in ('r', 'p', 'v', 'm', 'f') and not relispartition
         and relname <> all ($1::text::text[]) and relname !~ '^(message|archive|event)_s[0-9]+$' order by 1), ', ') as others`,
}

/** The tables of this version, as an array literal. */
const own = `{${catalogue.flatMap(({ object }) => (object.startsWith("table ") ? [object.slice(6)] : [])).join(",")}}`

/**
 * Drops the schema. Returns whether Sluice was installed there; where it was not, nothing is touched. Throws
 * `SchemaNotEmptyError` while the schema also holds tables or views that are not Sluice's.
 */
export async function uninstall<Tx>(session: Session<Tx>, options: UninstallOptions<Tx>): Promise<boolean> {
  checkOptions(options ?? {}, ["confirm", "tx"], "options")
  if (options?.confirm !== session.schema) {
    throw new InvalidOptionError("confirm", options?.confirm, `must be "${session.schema}", the schema that would be dropped with all its messages`)
  }
  if (options.tx !== undefined) return drop(session, options.tx)
  return session.driver.transaction(async (tx) => {
    // Else the server tells of every object that goes.
    await session.driver.within(tx).query("set local client_min_messages = warning")
    return drop(session, tx)
  })
}

async function drop<Tx>(session: Session<Tx>, tx: Tx): Promise<boolean> {
  const [found] = await session.run<{ installed: boolean; others: string }>(look, [own], { tx })
  if (!found?.installed) return false
  if (found.others !== "") throw new SchemaNotEmptyError(session.schema, found.others.split(", "))
  await session.run({ name: "uninstall", text: "drop schema {schema} cascade" }, [], { tx })
  return true
}
