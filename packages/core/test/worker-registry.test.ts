import { InvalidOptionError, type Registration, QueueNotFoundError, WorkerNotFoundError, WorkerStateError } from "@sluice/core"
import { afterEach, beforeEach, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
const { workers } = client.admin

beforeEach(async () => {
  await moveClock(pool, "0")
  await pool.query("truncate sluice.worker")
})
const registrations: Registration[] = []
afterEach(() => Promise.all(registrations.splice(0).map((one) => one.stop())))

async function register(options: Parameters<typeof client.register>[0]): Promise<Registration> {
  const registration = await client.register(options)
  registrations.push(registration)
  return registration
}
const names = async (options: Parameters<typeof workers.list>[0] = {}): Promise<string[]> => (await workers.list(options)).items.map(({ name }) => name)

test("register: one row under the name, with what it said of itself, from its first moment on", async () => {
  const queue = await freshQueue()
  const before = Date.now()
  const { name, state } = await register({ name: "reader-1", hostname: "höst.local", port: 8080, queues: [queue, queue] })
  expect([name, state]).toEqual(["reader-1", "running"])
  const info = await workers.get("reader-1")
  expect(info).toEqual({
    name: "reader-1", hostname: "höst.local", port: 8080, queues: [queue], state: "running", stale: false, held: 0,
    startedAt: expect.any(Date), beatAt: expect.any(Date), shutdownAt: null, every: "30s",
  })
  expect(Math.abs(info.startedAt.getTime() - before)).toBeLessThan(60_000)
  expect(info.beatAt).toEqual(info.startedAt)
})

test("register: no queues, host or port is fine; a queue that is not there is refused, and leaves no row and no stopped one", async () => {
  await register({ name: "bare" })
  expect(await workers.get("bare")).toMatchObject({ hostname: null, port: null, queues: [] })
  const queue = await freshQueue()
  expect(await errorOf(client.register({ name: "lost", queues: [queue, "nowhere"] }))).toMatchObject({ name: QueueNotFoundError.name, queue: "nowhere" })
  expect(await errorOf(client.worker([client.queue("nowhere").handler(() => {})], { name: "lost", maintenance: false }).start())).toBeInstanceOf(QueueNotFoundError)
  expect(await names()).toEqual(["bare"])
})

test("register anew under the same name takes the row over: what it said before, and what it was told, is gone", async () => {
  const queue = await freshQueue()
  const first = await register({ name: "twice", hostname: "a", queues: [queue] })
  await workers.suspend("twice")
  const second = await register({ name: "twice", hostname: "b" })
  expect(await workers.list()).toMatchObject({ items: [{ name: "twice", hostname: "b", queues: [], state: "running" }] })
  await workers.shutdown("twice")
  expect([await first.beat(), await second.beat()]).toEqual(["stopping", "stopping"])
  await register({ name: "twice" })
  expect(await workers.get("twice")).toMatchObject({ state: "running", shutdownAt: null })
})

test("beat stamps the row and brings what an operator wants; stop leaves it stopped; nothing beats after that", async () => {
  const one = await register({ name: "one" })
  const { startedAt, beatAt } = await workers.get("one")
  await moveClock(pool, "20 seconds")
  expect(await one.beat()).toBe("running")
  const after = await workers.get("one")
  expect(after.startedAt).toEqual(startedAt)
  expect(after.beatAt.getTime() - beatAt.getTime()).toBeGreaterThanOrEqual(20_000)
  await workers.suspend("one")
  expect(one.state).toBe("running")
  expect([await one.beat(), one.state]).toEqual(["suspended", "suspended"])
  await Promise.all([one.stop(), one.stop()])
  expect(await workers.get("one")).toMatchObject({ state: "stopped", stale: false })
  expect(await errorOf(one.beat())).toBeInstanceOf(InvalidOptionError)
  expect(await workers.get("one")).toMatchObject({ state: "stopped" })
})

test("with `every` it beats by itself, and learns by itself; without, never", async () => {
  const timed = await register({ name: "timed", every: "40ms" })
  const manual = await register({ name: "manual" })
  await workers.suspend("timed")
  await workers.suspend("manual")
  await expect.poll(() => timed.state, { timeout: 10_000 }).toBe("suspended")
  expect(manual.state).toBe("running")
  expect(await workers.get("timed")).toMatchObject({ every: "40ms" })
})

test("a beat of its own that fails is told, and the next one comes", async () => {
  const errors: unknown[] = []
  const timed = await register({ name: "failing", every: "30ms", onError: (error) => {
    errors.push(error)
    throw new Error("of the listener")
  } })
  await pool.query("alter table sluice.worker rename to hidden")
  try {
    await expect.poll(() => errors.length, { timeout: 10_000 }).toBeGreaterThan(1)
  } finally {
    await pool.query("alter table sluice.hidden rename to worker")
  }
  await workers.suspend("failing")
  await expect.poll(() => timed.state, { timeout: 10_000 }).toBe("suspended")
})

test("count and list: in order of name, page by page, by queue and by state", async () => {
  const [a, b] = [await freshQueue(), await freshQueue()]
  for (const [name, ...queues] of [["w.3", a], ["w.1", a, b], ["w.2", b], ["W.9"]] as const) await register({ name, queues })
  await workers.suspend("w.2")
  expect(await names()).toEqual(["W.9", "w.1", "w.2", "w.3"])
  expect([await workers.count(), await workers.count({ queue: a }), await workers.count({ queue: b, state: "running" }), await workers.count({ state: "stopped" })]).toEqual([4, 2, 1, 0])
  expect([await names({ queue: b }), await names({ state: "suspended" }), await names({ queue: a, state: "suspended" })]).toEqual([["w.1", "w.2"], ["w.2"], []])
  const first = await workers.list({ limit: 3 })
  expect([first.items.map(({ name }) => name), first.next]).toEqual([["W.9", "w.1", "w.2"], "w.2"])
  const second = await workers.list({ limit: 3, after: first.next })
  expect([second.items.map(({ name }) => name), second.next]).toEqual([["w.3"], null])
  for (const call of ["count", "list", "health"] as const) {
    expect(await errorOf(workers[call]({ queue: "nowhere" })), call).toMatchObject({ name: "QueueNotFoundError", queue: "nowhere" })
  }
})

test("a name that no worker has is WorkerNotFoundError, and leaves the caller's transaction usable", async () => {
  await inTransaction(pool, async (tx) => {
    for (const call of ["get", "suspend", "resume", "shutdown"] as const) {
      expect(await errorOf(workers[call]("nobody", { tx })), call).toMatchObject({ name: WorkerNotFoundError.name, code: "worker_not_found", worker: "nobody" })
    }
    expect((await tx.query("select 1 as one")).rows).toEqual([{ one: 1 }])
  })
})

test("transitions: suspend and resume may be repeated; of one that stops, or has stopped, only shutdown can be had", async () => {
  const one = await register({ name: "one" })
  const told = async (call: "suspend" | "resume" | "shutdown"): Promise<unknown> => workers[call]("one").then(({ state }) => state, (error: WorkerStateError) => [error.name, error.code, error.worker, error.from, error.to])
  expect([await told("resume"), await told("suspend"), await told("suspend"), await told("resume"), await told("suspend")]).toEqual(["running", "suspended", "suspended", "running", "suspended"])
  expect([await told("shutdown"), await told("shutdown")]).toEqual(["stopping", "stopping"])
  const refused = (from: string, to: string): string[] => [WorkerStateError.name, "worker_state", "one", from, to]
  expect([await told("suspend"), await told("resume")]).toEqual([refused("stopping", "suspended"), refused("stopping", "running")])
  await one.stop()
  expect([await told("shutdown"), await told("suspend"), await told("resume")]).toEqual(["stopped", refused("stopped", "suspended"), refused("stopped", "running")])
})

test("zombie: three beats missing make it stale, counted by health, and its messages are back without anybody reclaiming them", async () => {
  const queue = await freshQueue({ lease: "30s" })
  await register({ name: "alive", queues: [queue] })
  await register({ name: "zombie", queues: [queue] })
  await register({ name: "elsewhere" })
  const gone = await register({ name: "gone", queues: [queue] })
  await gone.stop()
  await client.queue(queue).send("x")
  const lost = (await client.queue(queue).read())!
  const { beatAt } = await workers.get("zombie")
  expect(await workers.health()).toEqual({ total: 4, running: 3, suspended: 0, stopping: 0, stopped: 1, stale: 0, held: 0, oldestBeatAt: expect.any(Date) })
  await moveClock(pool, "80 seconds")
  expect(await workers.health()).toMatchObject({ stale: 0 })
  await moveClock(pool, "91 seconds")
  await registrations[0]!.beat()
  await workers.suspend("alive")
  expect(await workers.health({ queue })).toEqual({ total: 3, running: 1, suspended: 1, stopping: 0, stopped: 1, stale: 1, held: 0, oldestBeatAt: beatAt })
  expect((await workers.list()).items.map(({ name, stale }) => [name, stale])).toEqual([["alive", false], ["elsewhere", true], ["gone", false], ["zombie", true]])
  expect(await client.queue(queue).read()).toMatchObject({ id: lost.id, attempt: 2 })
  expect((await errorOf<{ code: string }>(client.queue(queue).delete(lost))).code).toBe("stale_lease")
  await pool.query("truncate sluice.worker")
  expect(await workers.health()).toEqual({ total: 0, running: 0, suspended: 0, stopping: 0, stopped: 0, stale: 0, held: 0, oldestBeatAt: null })
})

test("shutdown of a stale one says stopped at once; should it live after all, its next beat says stopping", async () => {
  const frozen = await register({ name: "frozen" })
  await moveClock(pool, "2 minutes")
  expect(await workers.shutdown("frozen")).toMatchObject({ state: "stopped", shutdownAt: expect.any(Date) })
  expect(await frozen.beat()).toBe("stopping")
  expect(await workers.get("frozen")).toMatchObject({ state: "stopping", stale: false })
  await moveClock(pool, "5 minutes")
  expect(await workers.shutdown("frozen")).toMatchObject({ state: "stopped" })
})

test("shutdown needs no suspend, and does not ask what is held: the leases of a worker that is gone run out by themselves", async () => {
  const queue = await freshQueue()
  const worker = client.worker([client.queue(queue).handler(() => new Promise((resolve) => void (finish = resolve)))], { name: "busy", maintenance: false })
  let finish: ((value?: unknown) => void) | undefined
  await client.queue(queue).send(1)
  await worker.start()
  await expect.poll(() => finish, { timeout: 10_000 }).toBeDefined()
  expect(await workers.shutdown("busy")).toMatchObject({ state: "stopping" })
  finish!()
  await worker.stop()
})

test("purge_old_workers leaves recent ones: only those that stopped, or are stale, for longer than olderThan", async () => {
  const stops = await register({ name: "stopped.old" })
  await register({ name: "stale" })
  await register({ name: "alive" })
  await stops.stop()
  await moveClock(pool, "70 minutes")
  await registrations[2]!.beat()
  const recent = await register({ name: "stopped.recent" })
  await recent.stop()
  expect(await workers.purge({ olderThan: "2h" })).toEqual([])
  expect(await workers.purge()).toEqual(["stale", "stopped.old"])
  expect(await names()).toEqual(["alive", "stopped.recent"])
  expect(await workers.purge({ olderThan: 0 })).toEqual(["stopped.recent"])
  expect(await names()).toEqual(["alive"])
})

test("a row that was purged while its worker lived is there again at its next beat", async () => {
  const frozen = await register({ name: "frozen", hostname: "h" })
  await moveClock(pool, "2 hours")
  expect(await workers.purge()).toEqual(["frozen"])
  expect(await frozen.beat()).toBe("running")
  expect(await workers.get("frozen")).toMatchObject({ hostname: "h", stale: false })
})

test("purge by maintenance: an hour after they stopped, a day after a last beat, but none whose beats are further apart", async () => {
  const stops = await register({ name: "stopped" })
  await stops.stop()
  await register({ name: "stale" })
  await register({ name: "slow", every: "1d" })
  const after = async (time: string): Promise<string[]> => {
    await moveClock(pool, time)
    await client.maintenance().run()
    return names()
  }
  expect(await after("55 minutes")).toEqual(["slow", "stale", "stopped"])
  expect(await after("65 minutes")).toEqual(["slow", "stale"])
  expect(await after("25 hours")).toEqual(["slow"])
  expect(await after("70 hours")).toEqual(["slow"])
  expect(await after("73 hours")).toEqual([])
})

test("what is told in a transaction that rolls back was never said", async () => {
  const one = await register({ name: "one" })
  await inTransaction(pool, async (tx) => {
    expect(await workers.shutdown("one", { tx })).toMatchObject({ state: "stopping" })
    expect(await workers.count({ state: "stopping", tx })).toBe(1)
  }, { end: "rollback" })
  expect(await one.beat()).toBe("running")
})

test("from SQL: the same orders, and SQLSTATEs for what cannot be", async () => {
  const one = await register({ name: "one" })
  const state = (sql: string): Promise<unknown> => pool.query(sql).then(() => null, (error: { code: string }) => error.code)
  expect(await state("select sluice.suspend_worker('one')")).toBe(null)
  expect(await one.beat()).toBe("suspended")
  expect(await state("select sluice.resume_worker('one')")).toBe(null)
  expect(await one.beat()).toBe("running")
  expect(await state("select sluice.shutdown_worker('one')")).toBe(null)
  expect(await one.beat()).toBe("stopping")
  expect([await state("select sluice.suspend_worker('one')"), await state("select sluice.resume_worker('two')"), await state("select sluice.purge_workers('-1 hour')"), await state("select sluice.purge_workers(null)")])
    .toEqual(["SL012", "SL011", "22023", "22023"])
})
