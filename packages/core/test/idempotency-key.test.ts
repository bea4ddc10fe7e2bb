import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { beforeEach, expect, test } from "vitest"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
beforeEach(() => moveClock(pool, "0"))

test("the key is the same at every delivery, retry, burial and redrive, for every reader", async () => {
  const [dead, name] = [await freshQueue(), await freshQueue()]
  await client.admin.updateQueue(name, { deadLetter: dead, maxAttempts: 4 })
  const queue = client.queue(name)
  await queue.send("x")
  const seen: string[] = []
  const read = async (from = queue) => {
    const message = (await from.read())!
    seen.push(message.idempotencyKey)
    return message
  }
  await read()
  await moveClock(pool, "31 seconds") // its lease ran out
  await queue.retry(await read(), { delay: 0 })
  await queue.release(await read())
  await queue.deadLetter(await read())
  await read(client.queue(dead))
  await moveClock(pool, "10 minutes")
  expect(await client.admin.redrive(name)).toHaveLength(1)
  await queue.snooze(await read(), "1h")
  await moveClock(pool, "80 minutes")
  await inTransaction(pool, async (tx) => seen.push((await createClient(pgDriver(pool), { listen: false }).queue(name).read({ tx }))!.idempotencyKey), { end: "rollback" })
  await client.worker([queue.handler(({ idempotencyKey }) => void seen.push(idempotencyKey))], { maintenance: false }).drain()
  expect(seen).toHaveLength(8)
  expect(new Set(seen).size).toBe(1)
  expect(seen[0]).toMatch(/^[0-9a-f]{16}-\d+-[0-9a-z]+$/)
})

test("it comes back from the archive, too", async () => {
  const name = await freshQueue({ maxAttempts: 1 })
  const queue = client.queue(name)
  await queue.send("x")
  const first = (await queue.read())!
  await queue.retry(first)
  expect(await client.admin.redrive(name)).toHaveLength(1)
  expect((await queue.read())!.idempotencyKey).toBe(first.idempotencyKey)
})

test("no two messages have the same: of a batch, of two queues, of two installations", async () => {
  const [a, b] = [await freshQueue(), await freshQueue()]
  const other = createClient(pgDriver(pool), { schema: "other", listen: false, notify: false })
  await other.admin.install()
  await other.admin.createQueue(a)
  await pool.query("create or replace function sluice.clock() returns timestamptz language sql as $$ select '2030-01-01'::timestamptz $$; create or replace function other.clock() returns timestamptz language sql as $$ select '2030-01-01'::timestamptz $$")
  await client.queue(a).sendBatch([1, 2, 3].map((payload) => ({ payload })))
  await client.queue(b).send(4)
  await pool.query("select setval('other.message_id', 1, false)")
  await other.queue(a).sendBatch(Array.from({ length: 30 }, (_, payload) => ({ payload })))
  const messages = [...(await client.queue(a).readBatch({ limit: 9 })), ...(await client.queue(b).popBatch({ limit: 9 })), ...(await other.queue(a).readBatch({ limit: 99 }))]
  const keys = new Set(messages.map(({ idempotencyKey }) => idempotencyKey))
  expect(keys.size).toBe(34)
  expect(new Set([...keys].map((key) => key.split("-")[0])).size).toBe(2)
  expect(Math.max(...[...keys].map((key) => key.length))).toBeLessThanOrEqual(45)
})

test("a backup that is restored gives ids again: the messages it held keep their keys, new ones get others", async () => {
  const name = await freshQueue()
  const queue = client.queue(name)
  await queue.send("in the backup")
  const before = (await queue.read())!
  await queue.release(before)
  await queue.send("after it")
  const after = (await queue.readBatch({ limit: 2 })).find(({ payload }) => payload === "after it")
  await queue.purge()
  await pool.query("select setval('sluice.message_id', $1)", [before.id])
  await moveClock(pool, "1 minute")
  await queue.send("of a new life")
  const again = (await queue.read())!
  expect(again.id).toBe(after!.id)
  expect(again.idempotencyKey).not.toBe(after!.idempotencyKey)
  expect(again.idempotencyKey.split("-")[0]).toBe(before.idempotencyKey.split("-")[0])
})
