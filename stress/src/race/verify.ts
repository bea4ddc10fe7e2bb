import type { Pool } from "pg"

const violations = {
  /** Committed, and never settled. */
  missed: "select count(*) from ledger.sent where key not in (select key from ledger.settled)",
  /** Delivered or settled, and never committed. */
  ghosts: "select count(*) from (select key from ledger.delivered union select key from ledger.settled) d where key not in (select key from ledger.sent)",
  /** An attempt after the one that settled: attempts count up, so no clock is asked. */
  redelivered: "select count(*) from ledger.delivered d join ledger.settled s using (key) where d.attempt > s.attempt",
  "settled twice": "select count(*) from (select key from ledger.settled group by key having count(*) > 1) t",
  /** Two readers held one message at a time: under one attempt, or long before the lease of the first would have ended. */
  "claimed twice": "select count(*) from (select key from ledger.delivered group by key, attempt having count(*) > 1) t",
  "taken while held": `select count(*) from ledger.delivered a join ledger.delivered b on b.key = a.key and b.attempt = a.attempt + 1
    where b.claimed < a.until - interval '500 milliseconds' and not exists (select from ledger.returned r where r.key = a.key and r.attempt = a.attempt)`,
  /** Refused as stale, and only after that taken by the next reader. */
  "refused unjustly": "select count(*) from ledger.refused r join ledger.delivered d on d.key = r.key and d.attempt = r.attempt + 1 where d.claimed > r.at",
  /** Under another id than before, or with the headers of another message. */
  changed: "select (select count(*) from (select key from ledger.delivered group by key having count(distinct id) > 1) t) + (select count(*) from ledger.delivered where mangled)",
  "archive differs": "select abs((select count(*) from sluice.archive) - (select count(*) from ledger.settled where how = 'archive'))",
}

const counts = {
  committed: "select count(*) from ledger.sent",
  delivered: "select count(*) from ledger.delivered",
  accepted: "select count(*) from ledger.settled",
  "refused as stale": "select count(*) from ledger.refused",
  flips: "select count(*) from (select live, current, lag(current) over (order by generation) as before from ledger.segment) s where cardinality(live) > 1 and current is distinct from coalesce(before, 0)",
  "segments reopened": "select count(*) from (select live, current, lag(current) over (order by generation) as before from ledger.segment) s where cardinality(live) > 1 and current = coalesce(before, 0)",
  "slowest late pickup, ms": "select round(max(extract(epoch from d.at - l.at)) * 1000) from ledger.late l join lateral (select min(at) as at from ledger.delivered d where d.key = l.key) d on true",
}

const noted = ["sends rolled back", "settles rolled back", "given back", "crashed", "dawdled", "serialization failures", "processes killed", "backends terminated"]

async function ask(pool: Pool, text: string): Promise<number> {
  const { rows } = await pool.query<Record<string, string | null>>(text)
  return Number(Object.values(rows[0]!)[0])
}

async function askAll(pool: Pool, questions: Record<string, string>): Promise<Record<string, number>> {
  const answers: Record<string, number> = {}
  for (const [name, text] of Object.entries(questions)) answers[name] = await ask(pool, text)
  return answers
}

/** Compares the ledger with itself and with the archive. `table` holds what nobody has settled: nothing, at the end. */
export async function verify(pool: Pool, table: string): Promise<{ counts: Record<string, number>; violations: Record<string, number> }> {
  const { rows } = await pool.query<{ what: string; sum: string }>("select what, sum(count) as sum from ledger.note group by what")
  const notes = new Map(rows.map(({ what, sum }) => [what, Number(sum)]))
  return {
    counts: { ...(await askAll(pool, counts)), ...Object.fromEntries(noted.map((what) => [what, notes.get(what) ?? 0])) },
    violations: await askAll(pool, { ...violations, left: `select count(*) from sluice.${table}` }),
  }
}

/** How many messages are known to be committed and not settled. */
export function outstanding(pool: Pool): Promise<number> {
  return ask(pool, "select (select count(*) from ledger.sent) - (select count(*) from ledger.settled)")
}
