import { Pool } from "pg"
import type { Contestant, OpenOptions, Payload, Received, Session } from "../contestant.ts"
import { createReceiver } from "./raw-receiver.ts"

interface RawMessage extends Received {
  readonly id: string
}

/* No index has vt in it, and pages have room: a claim touches no index. Measured a quarter faster than one on (vt, id),
   as long as few messages are delayed or in flight, since a claim walks over those. */
const tables = `
create schema bench;
create table bench.message (
  id bigint generated always as identity primary key,
  vt timestamptz not null default now(),
  attempt int not null default 0,
  payload jsonb not null
) with (fillfactor = 60)`

const insert = "insert into bench.message (payload) values ($1::text::jsonb)"

const statements = {
  send: insert,
  sendAndWake: `with sent as (${insert}) select pg_notify('bench', '')`,
  sendBatch: "insert into bench.message (payload) select jsonb_array_elements($1::text::jsonb)",
  read: `update bench.message set vt = now() + interval '30 seconds', attempt = attempt + 1
    where id = any (array(select id from bench.message where vt <= now() order by id limit $1::int4 for update skip locked))
    returning id, payload`,
  delete: "delete from bench.message where id = any ($1::bigint[])",
}

/**
 * What one could write by hand for one queue: no fence, no delays to speak of, no second queue, no care for a
 * pinned horizon. The reference, not a product.
 */
export const raw: Contestant = { name: "raw", open }

function open(url: string, { connections, wake }: OpenOptions): Session<RawMessage> {
  // Statistics of an empty queue would make a scan of the whole table out of the claim.
  const options = "-c enable_seqscan=off -c plan_cache_mode=force_generic_plan"
  const pool = new Pool({ connectionString: url, max: connections, idleTimeoutMillis: 0, options })
  pool.on("error", () => {})
  const run = async <Row extends object>(name: keyof typeof statements, value: unknown): Promise<Row[]> =>
    (await pool.query<Row>({ name, text: statements[name], values: [value] })).rows
  const readBatch = (limit: number): Promise<RawMessage[]> => run<RawMessage>("read", limit)
  const receiver = createReceiver(url, "bench", () => readBatch(1))

  return {
    setup: async () => void (await pool.query(tables)),
    send: (payload) => run(wake ? "sendAndWake" : "send", JSON.stringify(payload)),
    sendBatch: (payloads: readonly Payload[]) => run("sendBatch", JSON.stringify(payloads)),
    readBatch,
    receive: receiver.receive,
    deleteBatch: (messages) => run("delete", messages.map(({ id }) => id)),
    close: async () => {
      await receiver.close()
      await pool.end()
    },
  }
}
