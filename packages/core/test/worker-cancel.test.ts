import { type HandlerContext, MessageCancelledError } from "@sluice/core"
import { expect, test } from "vitest"
import { startChild } from "./helpers/child.ts"
import { createGate } from "./helpers/gate.ts"
import { inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { until } from "./helpers/until.ts"
import { workerHarness } from "./helpers/worker-harness.ts"

const { url, pool, client, queue, watch, states } = await workerHarness()

const notes = async (): Promise<number> => (await pool.query("select from sluice.cancellation")).rowCount!

test.each(["delete", "archive"] as const)("what waits is gone at once, visible, delayed, parked or failed and waiting; archived as cancelled where done is archived (%s)", async (done) => {
  const jobs = await queue<number>({ done, backoff: { kind: "fixed", base: "1h", max: "1h" } })
  const failing = await jobs.send(0)
  await jobs.retry((await jobs.read())!, { error: new Error("once") })
  const ids = [failing, await jobs.send(1), await jobs.send(2, { delay: "1h" })]
  for (const id of ids) expect(await jobs.cancel(id)).toBe("cancelled")
  expect(await states(jobs.name)).toEqual([])
  expect(await notes()).toBe(0)
  const { items } = await client.admin.archive.list({ queue: jobs.name })
  expect(new Map(items.map(({ id, outcome }) => [id, outcome]))).toEqual(new Map(done === "archive" ? ids.map((id) => [id, "cancelled"]) : []))
  for (const id of ids) expect(await jobs.cancel(id)).toBeNull()
})

const ways: readonly (readonly [string, (stopped: Promise<unknown>) => unknown])[] = [
  ["returns", (stopped) => stopped],
  ["throws", (stopped) => stopped.then(() => { throw new Error("as it was told to stop") })],
  ["throws the signal's reason", (stopped) => stopped.then((reason) => { throw reason })],
  ["ignores it and returns later", (stopped) => stopped.then(() => new Promise((resolve) => setTimeout(resolve, 30)))],
]

test.each(ways.flatMap(([way, run]) => (["delete", "archive"] as const).map((done) => [way, done, run] as const)))("what runs has its signal fired by the beat alone, and is gone when its handler %s (done: %s)", async (_, done, run) => {
  const jobs = await queue<number>({ lease: "1500ms", done, backoff: null })
  const id = await jobs.send(1)
  const reasons: unknown[] = []
  const { worker, of } = watch([
    jobs.handler((_message, { signal }: HandlerContext) => run(new Promise((resolve) => signal.addEventListener("abort", () => resolve((reasons.push(signal.reason), signal.reason))))), {}),
  ], { pollInterval: "1h" })
  await worker.start()
  await until(() => of(id).length === 1)
  expect(await jobs.cancel(id)).toBe("requested")
  await until(() => of(id).length === 2)
  expect(of(id)).toEqual(["start", "cancelled"])
  expect(reasons).toMatchObject([expect.any(MessageCancelledError)])
  expect(await states(jobs.name)).toEqual([])
  expect(await notes()).toBe(0)
  expect((await client.admin.archive.list({ queue: jobs.name })).items.map((item) => [item.id, item.outcome])).toEqual(done === "archive" ? [[id, "cancelled"]] : [])
})

test("in a call with many messages the others go on, and the cancelled one is cancelled whatever the call says of it", async () => {
  const jobs = await queue<number>({ lease: "1500ms", done: "archive" })
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  const gate = createGate()
  let fired = 0
  const { worker, of } = watch([jobs.batchHandler((_, { signal }) => (signal.addEventListener("abort", () => fired++), gate.opened), { size: 2 })], { name: "many" })
  await worker.start()
  await until(() => ids.every((id) => of(id).length === 1))
  await jobs.cancel(ids[0]!)
  const beatAt = async () => String((await pool.query("select beat_at from sluice.worker where name = 'many'")).rows[0].beat_at.getTime())
  for (let n = 0; n < 2; n++) {
    const before = await beatAt()
    await until(async () => (await beatAt()) !== before)
  }
  expect(fired).toBe(0)
  gate.open()
  await until(() => ids.every((id) => of(id).length === 2))
  expect(ids.map((id) => of(id)[1])).toEqual(["cancelled", "done"])
  expect(await notes()).toBe(0)
})

test("a call whose messages are all cancelled has its signal fired", async () => {
  const jobs = await queue<number>({ lease: "1500ms" })
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  const { worker, of } = watch([jobs.batchHandler((_, { signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve)), { size: 2 })])
  await worker.start()
  await until(() => ids.every((id) => of(id).length === 1))
  for (const id of ids) expect(await jobs.cancel(id)).toBe("requested")
  await until(() => ids.every((id) => of(id).includes("cancelled")))
})

test("one that is done before its worker learns of it is done; its note is cleared by maintenance", async () => {
  const jobs = await queue<number>({ done: "archive" })
  const id = await jobs.send(1)
  const gate = createGate()
  const { worker, of } = watch([jobs.handler(() => gate.opened)])
  await worker.start()
  await until(() => of(id).length === 1)
  expect(await jobs.cancel(id)).toBe("requested")
  gate.open()
  await until(() => of(id).length === 2)
  expect(of(id)).toEqual(["start", "done"])
  expect(await client.admin.archive.get(id)).toMatchObject({ outcome: "done" })
  expect(await jobs.cancel(id)).toBeNull()
  await client.maintenance().run()
  expect(await notes()).toBe(0)
})

test("one that fails before its worker learns of it is gone: a retry, a release, a snooze of it as well, and at its last attempt it is not dead", async () => {
  const jobs = await queue<number>({ maxAttempts: 1, done: "archive" })
  const ways = [
    (message: NonNullable<Awaited<ReturnType<typeof jobs.read>>>) => jobs.retry(message),
    (message: NonNullable<Awaited<ReturnType<typeof jobs.read>>>) => jobs.release(message),
    (message: NonNullable<Awaited<ReturnType<typeof jobs.read>>>) => jobs.snooze(message, "1h"),
    (message: NonNullable<Awaited<ReturnType<typeof jobs.read>>>) => jobs.deadLetter(message),
  ]
  for (const way of ways) {
    const id = await jobs.send(1)
    const held = (await jobs.read())!
    expect(await jobs.cancel(id)).toBe("requested")
    await way(held)
    expect(await states(jobs.name)).toEqual([])
    expect(await client.admin.archive.get(id)).toMatchObject({ outcome: "cancelled" })
    expect(await notes()).toBe(0)
  }
})

test("what was claimed ahead and is cancelled never begins", async () => {
  const jobs = await queue<number>({ lease: "1500ms" })
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  const gate = createGate()
  const { worker, of } = watch([jobs.handler(() => gate.opened)], { concurrency: 1, prefetch: 1 })
  await worker.start()
  await until(async () => (await states(jobs.name)).every(({ state }) => state === "inFlight"))
  expect(await jobs.cancel(ids[1]!)).toBe("requested")
  // The note alone does not open the gate: it is for the message's turn.
  await new Promise((resolve) => setTimeout(resolve, 450))
  gate.open()
  await until(() => of(ids[1]!).length > 0)
  expect(of(ids[1]!)).toEqual(["cancelled"])
  expect(await notes()).toBe(0)
})

test.each(["read", "pop"] as const)("a cancelled message whose worker was killed is never delivered again (%s), and leaves no note", async (claim) => {
  const jobs = await queue<number>({ done: "archive" })
  const id = await jobs.send(1)
  const child = startChild("worker-child.ts", JSON.stringify({ url, queue: jobs.name, handler: "hang" }))
  while ((await child.next()).event !== "start");
  await child.kill()
  expect(await jobs.cancel(id)).toBe("requested")
  await moveClock(pool, "31 seconds")
  const next = await jobs.send(2)
  expect(await jobs[claim]()).toMatchObject({ id: next })
  expect(await states(jobs.name)).toMatchObject(claim === "read" ? [{ id: next }] : [])
  expect(await client.admin.archive.get(id)).toMatchObject({ outcome: "cancelled" })
  expect(await notes()).toBe(0)
}, 40_000)

test("a cancelled message that had used up its attempts is cancelled, not dead, whoever finds it", async () => {
  const jobs = await queue<number>({ maxAttempts: 1, done: "archive" })
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }, { payload: 3 }])
  expect(await jobs.readBatch({ limit: 3 })).toHaveLength(3)
  // The claim that meets the first buries the others ahead of it.
  expect(await jobs.cancel(ids[1]!)).toBe("requested")
  expect(await jobs.cancel(ids[2]!)).toBe("requested")
  await moveClock(pool, "31 seconds")
  const next = await jobs.send(4)
  expect(await jobs.read()).toMatchObject({ id: next })
  const outcomes = await Promise.all(ids.map(async (id) => (await client.admin.archive.get(id))!.outcome))
  expect(outcomes).toEqual(["dead", "cancelled", "cancelled"])
  expect(await notes()).toBe(0)
})

test("a cancel in a transaction that rolls back changes nothing; in one that commits it holds from then on", async () => {
  const jobs = await queue<number>({ lease: "1500ms" })
  const [waits, runs] = [await jobs.send(1, { priority: 0 }), await jobs.send(2, { priority: 1, delay: "1h" })]
  const gate = createGate()
  const { worker, of } = watch([jobs.handler(() => gate.opened)], { pollInterval: "20ms" })
  await inTransaction(pool, async (tx) => {
    expect(await jobs.cancel(waits, { tx })).toBe("cancelled")
    expect(await jobs.cancel(runs, { tx })).toBe("cancelled")
  }, { end: "rollback" })
  expect(await states(jobs.name)).toMatchObject([{ id: waits }, { id: runs }])
  await worker.start()
  await until(() => of(waits).length === 1)
  await inTransaction(pool, async (tx) => {
    expect(await jobs.cancel(waits, { tx })).toBe("requested")
    expect(await jobs.cancel(runs, { tx })).toBe("cancelled")
    expect(await states(jobs.name)).toHaveLength(2)
  })
  expect(await states(jobs.name)).toMatchObject([{ id: waits }])
  gate.open()
  await until(() => of(waits).length === 2)
  await client.maintenance().run()
  expect(await notes()).toBe(0)
})

test("cancel beside settles: each message leaves once, with one of both outcomes, and maintenance leaves no note", async () => {
  const jobs = await queue<number>({ done: "archive", backoff: null })
  const ids = await jobs.sendBatch(Array.from({ length: 200 }, (_, payload) => ({ payload })))
  const { worker, told } = watch([jobs.handler(({ attempt }) => { if (attempt === 1) throw new Error("first") })], { concurrency: 8, prefetch: 8 })
  await worker.start()
  const outcomes = await Promise.all(ids.map((id) => jobs.cancel(id)))
  await worker.drain()
  const archived = (await client.admin.archive.list({ queue: jobs.name, limit: 1000 })).items
  expect(archived.map(({ id }) => id).sort()).toEqual([...ids].sort())
  const byId = new Map(archived.map(({ id, outcome }) => [id, outcome]))
  for (const [i, id] of ids.entries()) {
    if (outcomes[i] === "cancelled") expect([byId.get(id), told.filter((one) => one.id === id && one.name === "done")]).toEqual(["cancelled", []])
    if (outcomes[i] === null) expect(byId.get(id)).toBe("done")
  }
  await client.maintenance().run()
  expect(await notes()).toBe(0)
})

test("a cancel in an open transaction, of what was to be cancelled already, keeps no claim waiting", async () => {
  const jobs = await queue<number>()
  const id = await jobs.send(1)
  await jobs.read({ lease: "1s" })
  expect(await jobs.cancel(id)).toBe("requested")
  const next = await jobs.send(2)
  await inTransaction(pool, async (tx) => {
    await tx.query("set local lock_timeout = '5s'")
    expect(await jobs.cancel(id, { tx })).toBe("requested")
    await moveClock(pool, "2 seconds")
    expect(await jobs.readBatch({ limit: 5 })).toMatchObject([{ id: next }])
  })
  expect(await notes()).toBe(0)
  expect(await jobs.cancel(id)).toBeNull()
})

test("a claim that meets one that was cancelled while a worker held it takes a thousand others away with it", async () => {
  const jobs = await queue<number>({ done: "archive" })
  const ids = await jobs.sendBatch(Array.from({ length: 2500 }, (_, payload) => ({ payload })))
  await jobs.readBatch({ limit: 2500 })
  await pool.query("select from sluice.try_cancel($1, $2::text::bigint[])", [jobs.name, `{${ids.join(",")}}`])
  await moveClock(pool, "1 hour")
  const met = await pool.query(
    `select sluice.without_cancelled(q, (select live from sluice.segment where storage = 0 order by generation desc limit 1), array[$2::bigint], sluice.clock()) as left
       from sluice.queue q where name = $1`, [jobs.name, ids[2000]])
  expect(met.rows).toEqual([{ left: [] }])
  expect(await notes()).toBe(1499)
  expect(await jobs.read()).toBeNull()
  expect(await notes()).toBe(0)
  expect(await client.admin.archive.count({ queue: jobs.name, outcome: "cancelled" })).toBe(2500)
})

test("maintenance finds notes of what is gone behind a thousand of what is still held", async () => {
  const [held, gone] = [await queue<number>(), await queue<number>()]
  const ids = await held.sendBatch(Array.from({ length: 1000 }, (_, payload) => ({ payload })))
  await held.readBatch({ limit: 1000 })
  await pool.query("select from sluice.try_cancel($1, $2::text::bigint[])", [held.name, `{${ids.join(",")}}`])
  const id = await gone.send(1)
  const message = (await gone.read())!
  await gone.cancel(id)
  await gone.delete(message)
  expect(await notes()).toBe(1001)
  await pool.query("select sluice.clear_cancellations()")
  expect(await notes()).toBe(1000)
  await held.purge()
  await pool.query("select sluice.clear_cancellations()")
  expect(await notes()).toBe(0)
})
