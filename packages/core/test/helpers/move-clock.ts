import type { Pool } from "pg"

/** Moves the installation's clock away from the server's: `moveClock(pool, "31 seconds")`. `"0"` puts it right again. */
export async function moveClock(pool: Pool, interval: string, schema = "sluice"): Promise<void> {
  await pool.query(`create or replace function "${schema}".clock() returns timestamptz language sql volatile
    as $$ select clock_timestamp() + interval '${interval}' $$`)
}
