import { createClient, StaleBatchError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { startEmbedded } from "@sluice/testkit"
import { afterAll, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { openPool } from "./helpers/harness.ts"
import { numbersOf, openTransaction, publish, range, take, takeAll, type TestStream } from "./helpers/streams.ts"

// A server of its own that can crash; the WAL writer sleeps long, so that an asynchronous commit may really be lost.
const server = await startEmbedded({ fsync: true, settings: { wal_writer_delay: "10s", wal_writer_flush_after: "1GB", autovacuum: "off", max_prepared_transactions: 2 } })
const pool = openPool(server.url)
const client = createClient(pgDriver(pool), { listen: false, notify: false })
await client.admin.install()
afterAll(async () => {
  await client.close()
  await pool.end()
  await server.stop()
})

let made = 0
async function freshStream(): Promise<TestStream> {
  const { name } = await client.admin.createStream(`crash.${++made}`)
  await client.admin.createSubscription(name, "sub")
  return client.stream(name)
}

async function crash(): Promise<void> {
  await server.stopImmediate()
  await server.restart()
}

test("a prepared transaction that outlives a crash comes when it is committed, not sooner and not twice", async () => {
  const stream = await freshStream()
  const sub = stream.subscription("sub")
  const { tx, end } = await openTransaction(pool)
  await publish(stream, [1], tx)
  await end("prepare transaction 'late'")
  await publish(stream, [2])
  expect(await take(sub)).toEqual([2])
  await crash()
  await publish(stream, [3])
  expect(await take(sub)).toEqual([3])
  await pool.query("commit prepared 'late'")
  expect(await takeAll(sub)).toEqual([[1]])
})

test("a batch that the crash made forgotten comes again, and its holder is refused", async () => {
  const stream = await freshStream()
  const sub = stream.subscription("sub")
  await publish(stream, range(1, 3))
  expect(await take(sub)).toEqual([1, 2, 3])
  await publish(stream, range(4, 6))
  const forgotten = (await sub.nextBatch())!
  await crash()
  const { rowCount } = await pool.query("select from sluice.batch where id = $1 and lease = $2", [forgotten.id, (forgotten as unknown as { head: { lease: string } }).head.lease])
  expect(rowCount).toBe(0)
  expect(await errorOf(forgotten.finish())).toBeInstanceOf(StaleBatchError)
  const again = (await sub.nextBatch())!
  expect(await numbersOf(again)).toEqual([4, 5, 6])
  expect(await errorOf(forgotten.finish())).toBeInstanceOf(StaleBatchError)
  await again.finish()
  await crash()
  // What was finished stays so.
  expect(await takeAll(sub)).toEqual([])
})
