import type { Message } from "@sluice/core"
import type { Pool, PoolClient } from "pg"

/** What was really committed, delivered and settled, in plain tables beside Sluice: written in the same transaction as the send or the settle where there is one. */
const tables = `
  create schema ledger;
  create table ledger.sent (key text);
  create table ledger.late (key text, at timestamptz default clock_timestamp());
  create table ledger.delivered (key text, id bigint, attempt int, lease bigint, claimed timestamptz, until timestamptz, mangled bool, at timestamptz default clock_timestamp());
  create table ledger.settled (key text, attempt int, how text);
  create table ledger.returned (key text, attempt int);
  create table ledger.refused (key text, attempt int, at timestamptz default clock_timestamp());
  create table ledger.note (what text, count int);
  create table ledger.segment (generation bigint, current int, live smallint[]);
  create function ledger.keep_segment() returns trigger language plpgsql as $$ begin
    insert into ledger.segment values (new.generation, new.current, new.live);
    return null;
  end $$;`

export type Payload = { key: string; text: string }
export type How = "delete" | "archive"
type Executor = Pool | PoolClient

export interface Ledger {
  sent(on: Executor, keys: readonly string[]): Promise<void>
  /** A slow transaction has committed just now: what it sent may lie below a floor. */
  late(on: Executor, keys: readonly string[]): Promise<void>
  delivered(on: Executor, messages: readonly Message<Payload>[], leaseMs: number): Promise<void>
  settled(on: Executor, messages: readonly Message<Payload>[], how: How): Promise<void>
  /** Is about to be given back before its lease ends. */
  returned(on: Executor, messages: readonly Message<Payload>[]): Promise<void>
  refused(on: Executor, messages: readonly Message<Payload>[]): Promise<void>
  note(on: Executor, what: string, count?: number): Promise<void>
}

/** `storage` is the number of the storage whose flips are counted. */
export async function makeLedger(pool: Pool, storage: number): Promise<void> {
  await pool.query(tables)
  await pool.query(`create trigger ledger after insert on sluice.segment for each row when (new.storage = ${storage}) execute function ledger.keep_segment()`)
}

async function insert(on: Executor, statement: string, rows: readonly unknown[]): Promise<void> {
  if (rows.length > 0) await on.query(statement, [JSON.stringify(rows)])
}

export const ledger: Ledger = {
  sent: (on, keys) => insert(on, "insert into ledger.sent select jsonb_array_elements_text($1)", keys),
  late: (on, keys) => insert(on, "insert into ledger.late select jsonb_array_elements_text($1)", keys),
  delivered: (on, messages, leaseMs) =>
    insert(on, "insert into ledger.delivered (key, id, attempt, lease, claimed, until, mangled) select * from jsonb_to_recordset($1) r(key text, id bigint, attempt int, lease bigint, claimed timestamptz, until timestamptz, mangled bool)",
      messages.map(({ payload, headers, id, attempt, lease, visibleAt }) => ({
        key: payload.key, id, attempt, lease, claimed: new Date(visibleAt!.getTime() - leaseMs), until: visibleAt, mangled: headers["key"] !== payload.key,
      }))),
  settled: (on, messages, how) =>
    insert(on, `insert into ledger.settled select key, attempt, '${how}' from jsonb_to_recordset($1) r(key text, attempt int)`, messages.map(named)),
  returned: (on, messages) =>
    insert(on, "insert into ledger.returned select key, attempt from jsonb_to_recordset($1) r(key text, attempt int)", messages.map(named)),
  refused: (on, messages) =>
    insert(on, "insert into ledger.refused select key, attempt from jsonb_to_recordset($1) r(key text, attempt int)", messages.map(named)),
  note: async (on, what, count = 1) => {
    await on.query("insert into ledger.note values ($1, $2)", [what, count])
  },
}

const named = ({ payload, attempt }: Message<Payload>): { key: string; attempt: number } => ({ key: payload.key, attempt })
