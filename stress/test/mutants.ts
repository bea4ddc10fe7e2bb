import type { Pool } from "pg"

interface Mutant {
  /** A function of the shared storage. */
  readonly function: string
  readonly from: string | RegExp
  readonly to: string
}

/** Changes of a function that nearly works, each of which any run of some seconds has met. */
export const mutants: Record<string, Mutant> = {
  "a claim locks nothing": { function: "lock_ready", from: / for update skip locked/g, to: "" },
  "a move forgets who holds a message": {
    function: "flip_move",
    from: /select \$2, %3\$s from gone\)([^]*?)v_columns\) into/,
    to: "select $$2, %4$$s from gone)$1v_columns, replace(v_columns, 'lease', 'null::bigint')) into",
  },
}

export async function breakInstallation(pool: Pool, { function: name, from, to }: Mutant): Promise<void> {
  const { rows } = await pool.query<{ text: string }>("select pg_get_functiondef(oid) as text from pg_proc where pronamespace = 'sluice'::regnamespace and proname = $1", [name])
  const text = rows[0]!.text
  const broken = text.replace(from, to)
  if (broken === text) throw new Error(`${name} has changed, and is not broken by this any more.`)
  await pool.query(broken)
}
