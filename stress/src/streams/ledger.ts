import type { StreamEvent } from "@sluice/core"
import type { Pool, PoolClient } from "pg"

/** What was really committed and done, in plain tables beside Sluice: written in the transaction that publishes, or that finishes. Of batches that are cleared triggers keep count. */
const tables = `
  create schema ledger;
  create table ledger.sent (event bigint, tx text, n int, txid xid8 default pg_current_xact_id());
  create index on ledger.sent (event);
  create table ledger.handled (seq bigserial, subscription text, event bigint, batch bigint, again boolean, put_off boolean);
  create index on ledger.handled (subscription, event);
  create table ledger.begun (subscription text, before pg_snapshot, after pg_snapshot, stored bigint[]);
  create table ledger.fault (what text, batch text);
  create table ledger.note (what text, count int);
  create function ledger.keep_note() returns trigger language plpgsql as $$ begin
    insert into ledger.note values (tg_argv[0], 1);
    return null;
  end $$;
  create trigger ledger after insert on sluice.batch_end for each row when (new.outcome = 'taken') execute function ledger.keep_note('taken over');
  create trigger batches after insert on sluice.batch for each row when (new.lease is not null) execute function ledger.keep_note('batches');
  create trigger cuts after insert on sluice.batch for each row when (new.slice = 2 and new.attempt = 1) execute function ledger.keep_note('cut windows');`

export type Payload = { tx: string; n: number }
type Executor = Pool | PoolClient

export interface Finished {
  readonly subscription: string
  readonly batch: string
  /** Whether these were events to be retried. */
  readonly again: boolean
  readonly events: readonly StreamEvent[]
  /** Ids of those that are to come again. */
  readonly putOff: ReadonlySet<string>
}

export const ledger = {
  make: async (pool: Pool): Promise<void> => void (await pool.query(tables)),
  sent: async (on: Executor, rows: readonly { event: string; tx: string; n: number }[]): Promise<void> => {
    await on.query("insert into ledger.sent (event, tx, n) select * from jsonb_to_recordset($1) r(event bigint, tx text, n int)", [JSON.stringify(rows)])
  },
  handled: async (on: Executor, { subscription, batch, again, events, putOff }: Finished): Promise<void> => {
    const rows = events.map(({ id }) => ({ id, put: putOff.has(id) }))
    await on.query(`insert into ledger.handled (subscription, event, batch, again, put_off)
      select $1, (e->>'id')::bigint, $2, $3, (e->>'put')::boolean from jsonb_array_elements($4) with ordinality t(e, n) order by n`, [subscription, batch, again, JSON.stringify(rows)])
  },
  fault: async (on: Executor, what: string, batch: string): Promise<void> => void (await on.query("insert into ledger.fault values ($1, $2)", [what, batch])),
  note: async (on: Executor, what: string, count = 1): Promise<void> => void (await on.query("insert into ledger.note values ($1, $2)", [what, count])),
}
