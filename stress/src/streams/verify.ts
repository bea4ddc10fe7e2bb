import type { Pool } from "pg"

/** What each subscription has to get: of a late one what was committed after it began, or was stored then. */
const expected = `
  select s.name as subscription, e.event from sluice.subscription s left join ledger.begun b on b.subscription = s.name, ledger.sent e
   where b.subscription is null or not pg_visible_in_snapshot(e.txid, b.after) or e.event = any (b.stored)`

const missing = `select count(*) from (${expected}) x where not exists (select from ledger.handled h where h.subscription = x.subscription and h.event = x.event and not h.put_off)`

const violations = {
  /** Committed, and not in a finished batch. */
  missed: missing,
  /** In two finished batches, and not put off in the first. */
  duplicates: "select count(*) from (select from ledger.handled where not put_off group by subscription, event having count(*) > 1) t",
  /** Put off, and with that batch finished too. */
  "put off twice in a batch": "select count(*) from (select from ledger.handled group by subscription, event, batch having count(*) > 1) t",
  ghosts: "select count(*) from ledger.handled h where not exists (select from ledger.sent s where s.event = h.event)",
  /** To a subscription that began after it, from the latest. */
  "too early": "select count(*) from ledger.handled h join ledger.begun b using (subscription) join ledger.sent s using (event) where b.stored is null and pg_visible_in_snapshot(s.txid, b.before)",
  /** Of one transaction, in the order in which one reader after the other had them. */
  "order of a transaction": "select count(*) from (select n, lag(n) over (partition by s.tx order by h.seq) as before from ledger.handled h join ledger.sent s using (event) where h.subscription = 'plain' and not h.again) t where n < before",
  ...Object.fromEntries(["incomplete batches", "out of order", "changed"].map((what) => [what, `select count(*) from ledger.fault where what = '${what}'`])),
  dead: "select count(*) from sluice.event_retry",
}

const counts = {
  published: "select count(*) from ledger.sent",
  handled: "select count(*) from ledger.handled",
  "put off": "select count(*) from ledger.handled where put_off",
  ticks: "select max(id) from sluice.tick",
}

const noted = ["batches", "taken over", "cut windows", "batches cleared", "transactions", "rolled back", "savepoints rolled back", "serialization failures", "finishes refused", "connections cut", "processes killed", "backends terminated", "rotated", "truncated", "held", "refused"]

async function ask(pool: Pool, text: string): Promise<number> {
  const { rows } = await pool.query<Record<string, string | null>>(text)
  return Number(Object.values(rows[0]!)[0])
}

async function askAll(pool: Pool, questions: Record<string, string>): Promise<Record<string, number>> {
  const answers: Record<string, number> = {}
  for (const [name, text] of Object.entries(questions)) answers[name] = await ask(pool, text)
  return answers
}

export async function verify(pool: Pool, left: number): Promise<{ counts: Record<string, number>; violations: Record<string, number> }> {
  const { rows } = await pool.query<{ what: string; sum: string }>("select what, sum(count) as sum from ledger.note group by what")
  const notes = new Map(rows.map(({ what, sum }) => [what, Number(sum)]))
  return {
    counts: { ...(await askAll(pool, counts)), ...Object.fromEntries(noted.map((what) => [what, notes.get(what) ?? 0])) },
    violations: { ...(await askAll(pool, violations)), "never emptied": left },
  }
}

/** Events that are committed and that some subscription has not done with. */
export const outstanding = (pool: Pool): Promise<number> => ask(pool, missing)
