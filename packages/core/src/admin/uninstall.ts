import { checkOptions } from "../check.ts"
import { InvalidOptionError } from "../errors.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"

export interface UninstallOptions<Tx> extends TxOption<Tx> {
  /** The name of the schema, said once more: everything in it goes, messages and archive. */
  readonly confirm: string
}

/** Drops the schema and all that is in it. Returns whether there was one. */
export async function uninstall<Tx>(session: Session<Tx>, options: UninstallOptions<Tx>): Promise<boolean> {
  checkOptions(options ?? {}, ["confirm", "tx"], "options")
  if (options?.confirm !== session.schema) {
    throw new InvalidOptionError("confirm", options?.confirm, `must be "${session.schema}", the schema that would be dropped with all its messages`)
  }
  const found = { name: "find_schema", text: "select to_regnamespace('{schema}') is not null as found" }
  const rows = await session.run<{ found: boolean }>(found, [], options)
  await session.run({ name: "uninstall", text: "drop schema if exists {schema} cascade" }, [], options)
  return rows[0]!.found
}
