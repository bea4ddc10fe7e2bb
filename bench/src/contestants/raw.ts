import { Pool, type PoolClient } from "pg"
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
  lock: "select id, payload from bench.message where vt <= now() order by id limit $1::int4 for update skip locked",
  delete: "delete from bench.message where id = any ($1::bigint[])",
}

/**
 * What one could write by hand for one queue: no fence, no delays to speak of, no second queue, no care for a
 * pinned horizon. The reference, not a product.
 */
export const raw: Contestant = { name: "raw", open }

function open(url: string, { connections, wake, listen = true }: OpenOptions): Session<RawMessage> {
  // Statistics of an empty queue would make a scan of the whole table out of the claim.
  const options = "-c enable_seqscan=off -c plan_cache_mode=force_generic_plan"
  const pool = new Pool({ connectionString: url, max: connections, idleTimeoutMillis: 0, options })
  pool.on("error", () => {})
  const run = async <Row extends object>(name: keyof typeof statements, value: unknown, on: Pool | PoolClient = pool): Promise<Row[]> =>
    (await on.query<Row>({ name, text: statements[name], values: [value] })).rows
  const readBatch = (limit: number): Promise<RawMessage[]> => run<RawMessage>("read", limit)
  const deleteBatch = (messages: readonly RawMessage[]): Promise<unknown> => run("delete", messages.map(({ id }) => id))
  const receiver = createReceiver(url, "bench", () => readBatch(1), listen)

  /** Handles one message in a transaction; false where there is none. */
  async function inTransaction(client: PoolClient): Promise<boolean> {
    await client.query("begin")
    const [message] = await run<RawMessage>("lock", 1, client)
    if (message !== undefined) await run("delete", [message.id], client)
    await client.query("commit")
    return message !== undefined
  }

  async function workInTransactions(): Promise<number> {
    const client = await pool.connect()
    let count = 0
    while (await inTransaction(client)) count++
    client.release()
    return count
  }

  async function workInBatches(size: number): Promise<number> {
    for (let count = 0; ; ) {
      const messages = await readBatch(size)
      if (messages.length === 0) return count
      await deleteBatch(messages)
      count += messages.length
    }
  }

  return {
    setup: async () => void (await pool.query(tables)),
    send: (payload) => run(wake ? "sendAndWake" : "send", JSON.stringify(payload)),
    sendBatch: (payloads: readonly Payload[]) => run("sendBatch", JSON.stringify(payloads)),
    readBatch,
    receive: receiver.receive,
    deleteBatch,
    workOff: async ({ concurrency, transactional }) => {
      const lanes = transactional ? Array.from({ length: concurrency }, workInTransactions) : [workInBatches(concurrency)]
      return (await Promise.all(lanes)).reduce((sum, count) => sum + count, 0)
    },
    work: async (handle) => {
      const over = new AbortController()
      const loop = async (): Promise<void> => {
        while (!over.signal.aborted) {
          const messages = await receiver.receive()
          messages.forEach(({ payload }) => handle(payload))
          if (messages.length > 0) await deleteBatch(messages)
        }
      }
      const looping = loop()
      return async () => {
        over.abort()
        receiver.wake()
        await looping
      }
    },
    close: async () => {
      await receiver.close()
      await pool.end()
    },
  }
}
