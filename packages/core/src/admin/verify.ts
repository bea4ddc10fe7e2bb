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

const mayAsk = { name: "may_verify", text: "select has_function_privilege('{schema}.storage_differences()', 'execute') as may" }
const storages = { name: "storage_differences", text: "select line from {schema}.storage_differences() line" }

/**
 * Compares tables, columns, indexes, constraints and functions with what this version should have, then those of dedicated
 * storages and streams, where the role may call what looks at them. Reads only.
 */
export async function verify<Tx>(session: Session<Tx>, options: TxOption<Tx>): Promise<Verification> {
  checkOptions(options, ["tx"], "options")
  const rows = await session.run<CatalogueRow>({ name: "catalogue", text: catalogueQuery }, [session.schema], options)
  // Somebody else's schema may hold a table of the same name, but hardly our record of migrations or our functions.
  const ours = catalogue.some(({ object }) => /^(table migration|function .*)$/.test(object) && rows.some((row) => row.object === object))
  if (!ours) throw new SchemaNotInstalledError(session.schema)
  const found = new Map(rows.map((row) => [row.object, row.definition]))
  const expected = new Map(catalogue.map((row) => [row.object, row.definition]))
  const differences: string[] = []
  for (const [object, definition] of expected) {
    const actual = found.get(object)
    if (actual === undefined) differences.push(`${object}: missing`)
    else if (actual !== definition) differences.push(`${object}: ${firstDifference(actual, definition)}`)
  }
  for (const object of found.keys()) if (!expected.has(object)) differences.push(`${object}: not part of this version`)
  // What is wrong with the functions would be wrong with those of every storage.
  const [right] = differences.length > 0 ? [] : await session.run<{ may: boolean }>(mayAsk, [], options)
  const lines = right?.may ? await session.run<{ line: string }>(storages, [], options) : []
  differences.push(...lines.map(({ line }) => line))
  return { ok: differences.length === 0, differences }
}

/** The body of a function is long; where it first differs tells enough. */
function firstDifference(actual: string, expected: string): string {
  const [is, should] = [actual.split("\n"), expected.split("\n")]
  const line = should.findIndex((text, i) => text !== is[i])
  const at = line === -1 ? should.length : line
  const where = should.length > 1 ? `line ${at + 1} ` : ""
  return `${where}is ${JSON.stringify((is[at] ?? "").trim())}, should be ${JSON.stringify((should[at] ?? "").trim())}`
}
