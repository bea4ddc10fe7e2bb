import { expect, test } from "vitest"
import { harness, inTransaction } from "./helpers/harness.ts"
import { flipStep, makeFlipPay } from "./helpers/flip.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
const sql = async (text: string, values: unknown[] = []) => (await pool.query(text, values)).rows

test("concurrency holds where a transaction keeps a message beyond its lease", async () => {
  const name = await freshQueue({ concurrency: 1, lease: "600ms" })
  const q = client.queue<number>(name)
  await q.sendBatch([{ payload: 1 }, { payload: 2 }])
  let most = 0, now = 0
  const mk = () => client.worker([q.handler(async () => {
    most = Math.max(most, ++now); await new Promise(r => setTimeout(r, 2500)); now--
  }, { transactional: true })], { maintenance: false, concurrency: 2 })
  const w = mk()
  await w.drain()
  expect(most).toBe(1)
}, 20000)

test("and so does groupConcurrency", async () => {
  const name = await freshQueue({ groupConcurrency: 1, lease: "600ms" })
  const q = client.queue<number>(name)
  await q.sendBatch([{ payload: 1, group: "a" }, { payload: 2, group: "a" }])
  let most = 0, now = 0
  const w = client.worker([q.handler(async () => {
    most = Math.max(most, ++now); await new Promise(r => setTimeout(r, 2500)); now--
  }, { transactional: true })], { maintenance: false, concurrency: 2 })
  await w.drain()
  expect(most).toBe(1)
}, 20000)

test("a rate whose interval is changed goes on", async () => {
  const name = await freshQueue({ rateLimit: { limit: 5, per: "1s" } })
  const q = client.queue<number>(name)
  await q.sendBatch(Array.from({ length: 20 }, (_, i) => ({ payload: i })))
  expect(await q.readBatch({ limit: 10 })).toHaveLength(5)
  await client.admin.updateQueue(name, { rateLimit: { limit: 5, per: "1m" } })
  await moveClock(pool, "1 day")
  const got = await q.readBatch({ limit: 10 })
  await moveClock(pool, "0")
  expect(got).toHaveLength(5)
})

test("a parent that a flip moves just now is waited for", async () => {
  const name = await freshQueue()
  const q = client.queue<number>(name)
  await makeFlipPay(pool)
  const parent = await q.send(1)
  await flipStep(pool)
  let sending: Promise<string> | undefined
  await inTransaction(pool, async (tx) => {
    await flipStep(tx)
    sending = q.send(2, { after: [parent] })
    sending.catch(() => {})
    await new Promise(r => setTimeout(r, 500))
  })
  const child = await sending!
  expect(await client.admin.messages.get(child)).toMatchObject({ state: "parked" })
})

test("a child that a flip moves just now is cancelled with its parent", async () => {
  await client.maintenance().run()
  const name = await freshQueue({ maxAttempts: 1 })
  const q = client.queue<number>(name)
  const q2 = client.queue<number>(await freshQueue())
  await makeFlipPay(pool)
  const parent = await q.send(1)
  const child = await q2.send(2, { after: [{ queue: name, id: parent }] })
  const m = (await q.read())!
  await flipStep(pool)
  // mover holds only the child: lock parent so that it is skipped
  let settling: Promise<unknown> | undefined
  await inTransaction(pool, async (tx) => {
    await inTransaction(pool, async (other) => {
      await other.query("select from sluice.message where id = $1 for update", [parent])
      await flipStep(tx)
    })
    settling = q.deadLetter(m, { error: "x" })
    settling.catch(() => {})
    await new Promise(r => setTimeout(r, 500))
  })
  await settling
  expect(await client.admin.messages.get(child)).toBe(null)
})

test("a message that a flip moves just now is replaced, not doubled", async () => {
  for (let i = 0; i < 5; i++) await client.maintenance().run()
  const name = await freshQueue()
  const q = client.queue<number>(name)
  await makeFlipPay(pool)
  const a = await q.send(1, { key: "k", debounce: "1h" })
  await flipStep(pool)
  let sending: Promise<string> | undefined
  await inTransaction(pool, async (tx) => {
    await flipStep(tx)
    sending = q.send(2, { key: "k", debounce: "1h" })
    sending.catch(() => {})
    await new Promise(r => setTimeout(r, 300))
  })
  expect(await sending).toBe(a)
})

test("a stale settle of a dead parent releases nobody who waits for its redrive", async () => {
  const name = await freshQueue({ maxAttempts: 1, lease: "500ms" })
  const q = client.queue<number>(name)
  const p = await q.send(1)
  const m = (await q.read({ lease: 0 }))!
  expect(await q.read()).toBe(null) // buried
  const child = await q.send(2, { after: [p], ifFailed: "wait" })
  expect(await client.admin.messages.get(child)).toMatchObject({ state: "parked" })
  await q.delete(m).catch(() => {})
  expect(await client.admin.messages.get(child)).toMatchObject({ state: "parked" })
})

test("what idle groups used of a rate is cleared away", async () => {
  const name = await freshQueue({ groupRateLimit: { limit: 5, per: "1s" } })
  const q = client.queue<number>(name)
  await q.sendBatch(Array.from({ length: 20 }, (_, i) => ({ payload: i, group: "g" + i })))
  await q.deleteBatch(await q.readBatch({ limit: 20 }))
  await moveClock(pool, "2 days")
  await sql("select sluice.clear_leftovers()")
  await moveClock(pool, "0")
  const rows = await sql("select count(*)::int as n from sluice.rate_use u join sluice.queue q on q.id = u.queue where q.name = $1", [name])
  expect(rows[0].n).toBe(0)
})

test("a redrive lets go who waited for the message in the dead-letter queue", async () => {
  const dlq = await freshQueue()
  const name = await freshQueue({ maxAttempts: 1, deadLetter: dlq })
  const q = client.queue<number>(name)
  const p = await q.send(1)
  await q.deadLetter((await q.read())!, { error: "x" })
  const child = await q.send(2, { after: [{ queue: dlq, id: p }] })
  expect(await client.admin.messages.get(child)).toMatchObject({ state: "parked" })
  await client.admin.redrive(name)
  expect(await client.admin.messages.get(child)).not.toMatchObject({ state: "parked" })
})

test("what a transaction sent that was open while the queue became fifo is delivered", async () => {
  const name = await freshQueue()
  const q = client.queue<number>(name)
  await inTransaction(pool, async (tx) => {
    await q.send(1, { tx })
    await client.admin.updateQueue(name, { fifo: true })
    await moveClock(pool, "11 minutes")
  })
  await client.maintenance().run()
  const got = await q.read()
  await moveClock(pool, "0")
  expect(got?.payload).toBe(1)
})
test("of a child that is gone no row stays", async () => {
  const name = await freshQueue({ maxAttempts: 1 })
  const q = client.queue<number>(name)
  const p = await q.send(1)
  const child = await q.send(2, { after: [p], ifFailed: "wait" })
  await q.deadLetter((await q.read())!)
  await q.cancel(child)
  await client.maintenance().run()
  expect((await sql("select count(*)::int as n from sluice.dependency where child = $1", [child]))[0].n).toBe(0)
})
test("a child that an operator made ready keeps the lease of its reader when its parent dies", async () => {
  const q = client.queue<number>(await freshQueue({ maxAttempts: 1 }))
  const p = await q.send(1)
  const child = await q.send(2, { after: [p] })
  const mp = (await q.read())!
  await client.admin.messages.setVt(q.name, child, 0)
  const mc = (await q.read())!
  await q.deadLetter(mp)
  await q.delete(mc)
})
test("a clock that is put back does not stop a queue with a rate", async () => {
  const q = client.queue<number>(await freshQueue({ rateLimit: { limit: 2, per: "1h" } }))
  await moveClock(pool, "2 days")
  await q.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
  await q.readBatch({ limit: 4 })
  await moveClock(pool, "0")
  await q.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
  expect(await q.readBatch({ limit: 4 })).toHaveLength(2)
})
test("limits are set beside a transaction that holds a message, and a pause waits for neither", async () => {
  const name = await freshQueue()
  const q = client.queue<number>(name)
  await q.send(1)
  const m = (await q.read())!
  const tx = await pool.connect()
  await tx.query("begin")
  await tx.query("select * from sluice.try_lock($1, array[$2::bigint], array[$3::bigint])", [name, m.id, m.lease])
  const update = client.admin.updateQueue(name, { fifo: true })
  await new Promise((r) => setTimeout(r, 300))
  const paused = await Promise.race([client.admin.pauseQueue(name).then(() => "paused"), new Promise((r) => setTimeout(() => r("waits"), 2000))])
  await tx.query("commit"); tx.release(); await update
  expect(paused).toBe("paused")
})
