import type { ClientBase, Pool } from "pg"
import { expect } from "vitest"
import { errorOf } from "./error-of.ts"

/** Short ways to run plain SQL, on a pool unless a transaction is given. */
export function sqlOn(pool: Pool) {
  const rows = async (text: string, values: unknown[] = [], on: Pool | ClientBase = pool): Promise<any[]> =>
    (await on.query(text, values)).rows
  return {
    rows,
    /** The first column of the first row. */
    value: async (text: string, values: unknown[] = []): Promise<any> =>
      Object.values((await rows(text, values))[0]!)[0],
    /** The JSON document of a refusal, which must have this SQLSTATE. */
    fault: async (code: string, text: string, values: unknown[] = []): Promise<unknown> => {
      const error = await errorOf<Error & { code: string; detail: string }>(pool.query(text, values))
      expect(error.code, `${text}: ${error.message}`).toBe(code)
      return JSON.parse(error.detail)
    },
  }
}
