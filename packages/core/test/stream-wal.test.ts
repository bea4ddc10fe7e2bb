import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { embeddedVersions, startEmbedded } from "@sluice/testkit"
import pg from "pg"
import { afterAll, expect, inject, test } from "vitest"

/**
 * Bytes of WAL: what Postgres 15 to 18 were measured to write, and 3 %. To raise one is a decision. Beside it what a message costs that is sent,
 * claimed and deleted: more than a thousand, see wal.test.ts.
 */
const ceilings = { "an event, published by 1000": 398, "an event, published alone": 440, "a batch, opened and finished": 1017, "a look that finds nothing": 0 }
type Step = keyof typeof ceilings

const EVENTS = 2000
const DATA = '{"type": "order.created", "order": 123456, "customer": "abcdef0123456789", "items": [1, 2, 3, 4, 5], "note": "xxxxxxxxxxxxxxxxxxxx"}'

// A server of its own, where nobody else writes, nothing depends on when a checkpoint was, and no snapshot is logged for standbys now and then.
const version = embeddedVersions.find((major) => String(major) === inject("serverVersion").split(".")[0]) ?? 18
const server = await startEmbedded({ version, settings: { autovacuum: "off", full_page_writes: "off", checkpoint_timeout: "1d", max_wal_size: "8GB", wal_level: "minimal", max_wal_senders: "0" } })
const client = createClient(pgDriver(server.url), { listen: false, notify: false })
await client.admin.install()
await client.admin.createStream("events")
await client.admin.createSubscription("events", "s")
const session = new pg.Client(server.url)
await session.connect()
afterAll(async () => {
  await client.close()
  await session.end()
  await server.stop()
})

/** Loops in the server, each turn a transaction of its own. */
const turns = (count: number, ...statements: readonly string[]): string =>
  `do $$ declare b record; begin for i in 1 .. ${count} loop ${statements.map((statement) => `${statement}; commit;`).join(" ")} end loop; end $$`
const publish = (count: number): string =>
  `perform count(*) from sluice.try_publish('events', (select jsonb_agg(jsonb_build_object('type', 'order.created', 'data', '${DATA}'::jsonb)) from generate_series(1, ${count})))`
const next = "sluice.next_batch('events', 's', 'reader', max_events => 20)"

async function bytesOf(statement: string): Promise<number> {
  const position = async (): Promise<bigint> => BigInt((await session.query("select (pg_current_wal_insert_lsn() - '0/0')::text as bytes")).rows[0].bytes)
  const before = await position()
  await session.query(statement)
  return Number((await position()) - before)
}

const measured: Record<Step, number> = {
  "an event, published by 1000": (await bytesOf(turns(EVENTS / 1000, publish(1000)))) / EVENTS,
  "an event, published alone": (await bytesOf(turns(EVENTS, publish(1)))) / EVENTS,
  "a batch, opened and finished": (await bytesOf(turns((2 * EVENTS) / 20, `select * into strict b from ${next}`, "perform sluice.finish_batch('events', 's', b.batch, b.token)"))) / ((2 * EVENTS) / 20),
  "a look that finds nothing": (await bytesOf(turns(100, `perform * from ${next}`))) / 100,
}
console.log([`Bytes of WAL of streams, Postgres ${inject("serverVersion")}`, ...Object.entries(measured).map(([step, bytes]) => `${step}: ${bytes.toFixed(1)}`)].join("\n"))

test.each(Object.keys(ceilings) as Step[])("%s writes no more WAL than recorded", (step) => {
  expect(measured[step]).toBeLessThanOrEqual(ceilings[step])
  // Much less would be a mistake of the measurement, or an improvement to record.
  expect(measured[step]).toBeGreaterThanOrEqual(0.9 * ceilings[step])
})
