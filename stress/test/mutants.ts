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

/** The same of streams, and what they come to. That rotation looks at open batches, slices and late writers is shown in packages/core/test/stream-rotation*.test.ts. */
export const streamMutants: Record<string, Mutant & { readonly finds: string }> = {
  "a position takes who is still running for done": {
    function: "seen_now",
    from: /int8multirange\(int8range\(0, pg_snapshot_xmax\(s\)::text::bigint\)\) - [^]*?'\{\}'\)/,
    to: "int8multirange(int8range(0, pg_snapshot_xmax(s)::text::bigint))",
    finds: "missed",
  },
  "two readers get a batch at once": { function: "lock_subscription", from: "pg_advisory_xact_lock(", to: "pg_advisory_xact_lock_shared(", finds: "duplicates" },
  "who loses a batch may finish it": { function: "take_over", from: /insert into batch_end [^;]*;/, to: "", finds: "duplicates" },
  "a retried event is kept": { function: "try_finish_batch", from: /delete from event_retry[^;]*;/, to: "null;", finds: "duplicates" },
  "events of an open batch are emptied": { function: "holders_of", from: "if v_holds then", to: "if false then", finds: "missed" },
}

export async function breakInstallation(pool: Pool, { function: name, from, to }: Mutant): Promise<void> {
  const { rows } = await pool.query<{ text: string }>("select pg_get_functiondef(oid) as text from pg_proc where pronamespace = 'sluice'::regnamespace and proname = $1", [name])
  const text = rows[0]!.text
  const broken = text.replace(from, to)
  if (broken === text) throw new Error(`${name} has changed, and is not broken by this any more.`)
  await pool.query(broken)
}
