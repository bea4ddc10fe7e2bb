import type { Pool } from "pg"
import { expect } from "vitest"

/** Runs `work` while the text of a function is another one: what a gate is for must fail it. */
export async function withBroken(pool: Pool, name: string, from: string | RegExp, to: string, work: () => Promise<void>): Promise<void> {
  const { rows } = await pool.query("select pg_get_functiondef(to_regproc($1)) as text", [`sluice.${name}`])
  const broken = rows[0].text.replaceAll(from, to)
  expect(broken).not.toBe(rows[0].text)
  await pool.query(broken)
  try {
    await work()
  } finally {
    await pool.query(rows[0].text)
  }
}
