import { afterEach, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
afterEach(() => moveClock(pool, "0"))
const fresh = async (options = {}) => client.queue(await freshQueue({ backoff: null, ...options }))
const stateOf = async (id: string) => (await client.admin.messages.get(id))?.state ?? "gone"
const waiting = () => expect.poll(async () => (await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount)

test("AsyncMQ: a child whose parents finish at the same moment never runs", async () => {
  const q = await fresh()
  for (let round = 0; round < 100; round++) {
    const [a, b] = await q.sendBatch([{ payload: "a" }, { payload: "b" }])
    const child = await q.send("child", { after: [a!, b!] })
    const [first, second] = await q.readBatch({ limit: 2 })
    if (round % 2 === 0) {
      await Promise.all([q.delete(first!), q.archive(second!)])
    } else {
      // Each deletes before either commits, in both orders.
      const [one, other] = round % 4 === 1 ? [first!, second!] : [second!, first!]
      let late: Promise<void> | undefined
      await inTransaction(pool, async (tx) => {
        await q.delete(one, { tx })
        late = q.delete(other)
        await waiting().toBe(1)
      })
      await late
    }
    expect((await q.pop())?.id).toBe(child)
  }
})

test("flow: a child is hidden until its parent is done; a diamond; delays count from when it was sent (AsyncMQ)", async () => {
  const q = await fresh()
  const [, left, right, bottom] = await q.sendBatch([
    { payload: "top", ref: "top" },
    { payload: "left", ref: "left", after: [{ ref: "top" }] },
    { payload: "right", ref: "right", after: [{ ref: "top" }], delay: "1m" },
    { payload: "bottom", after: [{ ref: "left" }, { ref: "right" }] },
  ])
  expect([await stateOf(left!), await stateOf(right!), await stateOf(bottom!)]).toEqual(["parked", "parked", "parked"])
  await q.delete((await q.read())!)
  expect([await stateOf(left!), await stateOf(right!), await stateOf(bottom!)]).toEqual(["visible", "delayed", "parked"])
  await q.delete((await q.read())!)
  expect(await q.read()).toBeNull()
  await moveClock(pool, "61 seconds")
  await q.delete((await q.read())!)
  expect((await q.read())?.payload).toBe("bottom")
})

test("a chain of 500, done one by one, and cancelled at once", async () => {
  const q = await fresh()
  const chain = Array.from({ length: 500 }, (_, n) => ({ payload: n, ref: `${n}`, ...(n > 0 && { after: [{ ref: `${n - 1}` }] }) }))
  await q.sendBatch(chain)
  for (let n = 0; n < 500; n++) expect((await q.pop())?.payload).toBe(n)
  const [first] = await q.sendBatch(chain)
  await q.cancel(first!)
  expect((await q.metrics()).length).toBe(0)
  expect((await pool.query("select count(*)::int as n from sluice.dependency d join sluice.queue q on q.id = d.queue where q.name = $1", [q.name])).rows[0].n).toBe(0)
})

test("a parent in another queue, of another storage", async () => {
  const parents = await fresh({ storage: "dedicated" })
  const q = await fresh()
  const parent = await parents.send("parent")
  const child = await q.send("child", { after: [{ queue: parents.name, id: parent }] })
  expect(await stateOf(child)).toBe("parked")
  await parents.pop()
  expect(await stateOf(child)).toBe("visible")
  await expect(q.send(1, { after: [{ queue: "nowhere", id: "1" }] })).rejects.toMatchObject({ code: "queue_not_found", queue: "nowhere" })
})

test("a parent that is gone is done; one that died is not", async () => {
  for (const deadLetter of [null, await freshQueue()]) {
    const q = await fresh({ deadLetter })
    const gone = await q.send("gone")
    await q.pop()
    expect(await stateOf(await q.send("child", { after: [gone] }))).toBe("visible")
    await q.pop()
    const dead = await q.send("dead")
    await q.deadLetter((await q.read())!)
    expect(await errorOf(q.send("cancel", { after: [dead] }))).toMatchObject({ code: "dependency_failed", queue: q.name, id: dead })
    expect(await stateOf(await q.send("run", { after: [dead], ifFailed: "run" }))).toBe("visible")
    const wait = await q.send("wait", { after: [dead], ifFailed: "wait" })
    expect(await stateOf(wait)).toBe("parked")
    await q.pop()
    await client.admin.redrive(q.name)
    expect(await stateOf(wait)).toBe("parked")
    await q.pop()
    expect(await stateOf(wait)).toBe("visible")
  }
})

test.each(["commit", "rollback"] as const)("who settles a parent waits for the transaction of who sends its child: %s", async (end) => {
  const q = await fresh()
  const parent = await q.send("parent")
  const message = (await q.read())!
  let child = ""
  let settled: Promise<void> | undefined
  await inTransaction(
    pool,
    async (tx) => {
      child = await q.send("child", { after: [parent], tx })
      settled = q.delete(message)
      await waiting().toBe(1)
    },
    { end },
  )
  await settled
  expect(await stateOf(child)).toBe(end === "commit" ? "visible" : "gone")
})

test("who sends a child waits for the transaction of who settles its parent", async () => {
  const q = await fresh()
  for (const end of ["commit", "rollback"] as const) {
    const parent = await q.send("parent")
    const message = (await q.read())!
    let sent: Promise<string> | undefined
    await inTransaction(
      pool,
      async (tx) => {
        await q.delete(message, { tx })
        sent = q.send("child", { after: [parent] })
        await waiting().toBe(1)
      },
      { end },
    )
    expect(await stateOf((await sent)!)).toBe(end === "commit" ? "visible" : "parked")
    await q.purge()
  }
})

test("a child that is parked can be edited, promoted and cancelled, and comes no earlier for it", async () => {
  const q = await fresh()
  const parent = await q.send("parent")
  const child = await q.send("child", { after: [parent], delay: "1h" })
  const grandchild = await q.send("grandchild", { after: [child] })
  expect(await q.edit(child, { payload: "edited" })).toBe("edited")
  expect(await q.promote(child)).toBe("edited")
  expect(await stateOf(child)).toBe("parked")
  const other = await q.send("other", { after: [parent] })
  expect(await q.cancel(other)).toBe("cancelled")
  await q.pop()
  expect(await q.pop()).toMatchObject({ id: child, payload: "edited" })
  expect(await stateOf(grandchild)).toBe("visible")
})

test("REPEATABLE READ settles pass 40001 on where another parent was settled since their snapshot", async () => {
  const q = await fresh()
  const [a, b] = await q.sendBatch([{ payload: "a" }, { payload: "b" }])
  const child = await q.send("child", { after: [a!, b!] })
  const [first, second] = await q.readBatch({ limit: 2 })
  const settle = () =>
    inTransaction(
      pool,
      async (tx) => {
        await tx.query("select 1 from sluice.queue")
        await q.delete(first!).catch(() => {})
        await q.delete(second!, { tx })
      },
      { begin: "begin isolation level repeatable read" },
    )
  expect(await errorOf(settle())).toMatchObject({ code: "40001" })
  await settle()
  expect(await stateOf(child)).toBe("visible")
})

test("all or nothing: a batch one of whose parents died is not sent, and the caller's transaction goes on", async () => {
  const q = await fresh()
  const dead = await q.send("dead")
  await q.deadLetter((await q.read())!)
  await inTransaction(pool, async (tx) => {
    expect(await errorOf(q.sendBatch([{ payload: 1, key: "k" }, { payload: 2, after: [dead] }], { tx }))).toMatchObject({ code: "dependency_failed" })
    await q.send(3, { key: "k", tx })
  })
  expect((await q.readBatch({ limit: 9 })).map(({ payload }) => payload)).toEqual([3])
})
