import type { QueryOptions, SqlExecutor, SqlValue } from "@sluice/core"
import { equalRows, fail } from "../assert.ts"
import type { CaseContext, ConformanceCase } from "../case.ts"
import type { Capability } from "../harness.ts"
import type { Rule } from "../rules.ts"
import { messagesOf, sqlStateOf } from "../sql-state.ts"

/** A statement whose rows are known, through each way that a driver may run it. */
export interface KnownStatement {
  readonly name: string
  readonly text: string
  readonly values?: readonly SqlValue[]
  readonly rows: readonly object[]
  readonly rule: Rule
  readonly needs?: readonly Capability[]
}

/** A driver often has three code paths: plain, prepared by name, and inside a transaction. */
export async function everyPath(
  { driver, unique }: CaseContext,
  text: string,
  values: readonly SqlValue[] | undefined,
  check: (rows: unknown, path: string) => void,
): Promise<void> {
  const name = unique("statement")
  const run = async (executor: SqlExecutor, path: string, options?: QueryOptions): Promise<void> => {
    const rows = await executor.query(text, values, options).catch((error: unknown) => {
      fail(`${path} rejected a good statement: ${text.trim()}\n  received ${messagesOf(error)} (${sqlStateOf(error)})`)
    })
    check(rows, path)
  }
  await run(driver, "query()")
  await run(driver, "query() with a name", { name })
  await run(driver, "query() with the same name again", { name })
  await driver.transaction(async (tx) => {
    await run(driver.within(tx), "within(tx).query()")
    await run(driver.within(tx), "within(tx).query() with a name", { name })
  })
}

export function knownStatement({ name, text, values, rows, rule, needs }: KnownStatement): ConformanceCase {
  return {
    name,
    rule,
    needs,
    async run(context) {
      await everyPath(context, text, values, (received, path) => equalRows(received, rows, `${path}: ${text.trim()}`))
    },
  }
}

/** `$1` cast to a type goes in and comes out the same. */
export function sameValue(name: string, type: string, value: SqlValue): ConformanceCase {
  const text = `select $1::${type} as value`
  return knownStatement({ name, text, values: [value], rows: [{ value }], rule: "values-out" })
}
