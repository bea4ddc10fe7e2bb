import type { Pool } from "pg"

/** Stops the installation's clock at a time: `setClock(pool, "2030-01-01T00:00:00Z")`. */
export async function setClock(pool: Pool, time: string): Promise<void> {
  await pool.query(`create or replace function sluice.clock() returns timestamptz language sql volatile as $$ select timestamptz '${new Date(time).toISOString()}' $$`)
}
