import { createClient, type Message } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { createDatabase, startEmbedded } from "@sluice/testkit"
import { afterAll, expect, test } from "vitest"
import { flipState, makeFlipPay } from "./helpers/flip.ts"
import { openPool } from "./helpers/harness.ts"
import { findTool, restore, startDump } from "./helpers/postgres-tools.ts"

const pgDump = findTool("pg_dump")
const psql = findTool("psql")
// Of the oldest version: a pg_dump dumps its own and older ones.
const server = pgDump === undefined ? undefined : await startEmbedded({ version: 15, settings: { autovacuum: "off" } })
afterAll(() => server?.stop())

const idsOf = (messages: readonly Message[]): string[] => messages.map(({ id }) => id).sort()

test.skipIf(!server)(`a slow pg_dump holds up the flip and nobody else, and what it wrote can be restored${server ? "" : " (no pg_dump here)"}`, async () => {
  const { url } = await createDatabase(server!.url, "dumped")
  const pool = openPool(url)
  const client = createClient(pgDriver(pool), { listen: false, notify: false })
  await client.admin.install()
  const queue = client.queue((await client.admin.createQueue("dumped")).name)
  const ids = await queue.sendBatch(Array.from({ length: 2000 }, (_, n) => ({ payload: `message ${n} ${"x".repeat(1000)}` })))
  await client.maintenance().run() // makes the partitions that the dump would keep from being made
  await makeFlipPay(pool, 10_000)
  await pool.query("alter table sluice.message_0 reset (autovacuum_enabled)") // as verify expects it
  await pool.query("alter table sluice.message_1 reset (autovacuum_enabled)")

  const dump = startDump(pgDump!, url)
  const locks = "select from pg_locks l join pg_stat_activity a using (pid) where a.application_name = 'pg_dump' and l.relation in ('sluice.message_0'::regclass, 'sluice.message_1'::regclass)"
  await expect.poll(async () => (await pool.query(locks)).rowCount, { timeout: 15_000 }).toBe(2)

  const maintenance = client.maintenance({ flipAfter: 0, flipPause: "0s" })
  expect(await maintenance.run()).toMatchObject({ moved: 2000, truncated: 0, refused: 1 })
  const held = await queue.readBatch({ limit: 30, lease: "1h" })
  expect(held).toHaveLength(30)
  const later = await queue.send("during the dump")
  expect(await maintenance.run()).toMatchObject({ truncated: 0, refused: 1 })
  expect(await queue.archiveBatch(held.slice(0, 10))).toMatchObject({ refused: [] })
  await queue.release(held[10]!)
  expect(await flipState(pool)).toMatchObject({ visited: 1 })
  expect((await pool.query(locks)).rowCount, "the dump was slow enough").toBe(2)

  const text = await dump.finish()
  expect(await maintenance.run()).toMatchObject({ truncated: 1, refused: 0 })
  expect(await flipState(pool)).toMatchObject({ left: 0 })
  const rest = await queue.readBatch({ limit: 3000 })
  expect(idsOf([...rest, ...held.filter((_, i) => i !== 10)])).toEqual([...ids, later].sort())

  expect(ids.filter((_, n) => !text.includes(`"message ${n} `))).toEqual([])
  if (psql) await expectRestored(text, ids)
  await pool.end()
}, 90_000)

async function expectRestored(text: string, ids: readonly string[]): Promise<void> {
  const { url } = await createDatabase(server!.url, "restored")
  await restore(psql!, url, text)
  const pool = openPool(url)
  const client = createClient(pgDriver(pool), { listen: false, notify: false })
  expect(await client.admin.verify()).toEqual({ ok: true, differences: [] })
  const queue = client.queue("dumped")
  const messages = await queue.readBatch({ limit: 3000 })
  expect(idsOf(messages)).toEqual(ids.toSorted())
  expect(await queue.deleteBatch(messages)).toMatchObject({ refused: [] })
  expect(ids).not.toContain(await queue.send("after the restore"))
  await pool.end()
}
