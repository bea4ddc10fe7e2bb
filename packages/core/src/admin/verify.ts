import { checkOptions } from "../check.ts"
import { SchemaNotInstalledError } from "../errors.ts"
import { catalogue } from "../generated/catalogue.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"
import { catalogueQuery, type CatalogueRow } from "./catalogue-query.ts"

export interface Verification {
  /** Nothing is missing, changed or added. */
  readonly ok: boolean
  /** One line for each difference: `index message_claim: missing`. */
  readonly differences: string[]
}

/** Compares tables, columns, indexes, constraints and functions with what this version should have. Reads only. */
export async function verify<Tx>(session: Session<Tx>, options: TxOption<Tx>): Promise<Verification> {
  checkOptions(options, ["tx"], "options")
  const rows = await session.run<CatalogueRow>({ name: "catalogue", text: catalogueQuery }, [session.schema], options)
  if (rows.length === 0) throw new SchemaNotInstalledError(session.schema)
  const found = new Map(rows.map((row) => [row.object, row.definition]))
  const expected = new Map(catalogue.map((row) => [row.object, row.definition]))
  const differences: string[] = []
  for (const [object, definition] of expected) {
    const actual = found.get(object)
    if (actual === undefined) differences.push(`${object}: missing`)
    else if (actual !== definition) differences.push(`${object}: is ${actual}, should be ${definition}`)
  }
  for (const object of found.keys()) if (!expected.has(object)) differences.push(`${object}: not part of this version`)
  return { ok: differences.length === 0, differences }
}
