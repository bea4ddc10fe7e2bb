import { setTimeout as sleep } from "node:timers/promises"
import { createClient, StaleLeaseError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterAll, expect, test } from "vitest"
import { countingDriver } from "./helpers/counting-driver.ts"
import { createGate } from "./helpers/gate.ts"
import { openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { until } from "./helpers/until.ts"
import { workerHarness } from "./helpers/worker-harness.ts"

const { url, pool, queue, watch, states } = await workerHarness()

const beatOf = async (name: string): Promise<number> => (await pool.query("select extract(epoch from beat_at)::float8 * 1000 as at from sluice.worker where name = $1", [name])).rows[0].at
/** So many beats more of a worker. */
async function beats(name: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const before = await beatOf(name)
    await until(async () => (await beatOf(name)) !== before, "the worker beats")
  }
}

test("the default lease is 30 s, of the queue and of what a worker claims", async () => {
  const jobs = await queue()
  const id = await jobs.send(1)
  const gate = createGate()
  const { worker, count } = watch([jobs.handler(() => gate.opened)])
  const before = (await pool.query("select extract(epoch from clock_timestamp())::float8 * 1000 as now")).rows[0].now as number
  await worker.start()
  await until(() => count("start") === 1)
  const [row] = await states(jobs.name)
  expect(row!.id).toBe(id)
  expect(row!.vt - before).toBeGreaterThan(29_990)
  expect(row!.vt - before).toBeLessThan(60_000)
  await moveClock(pool, "29 seconds")
  expect(await jobs.read()).toBeNull()
  await moveClock(pool, "61 seconds")
  expect(await jobs.read()).toMatchObject({ id, attempt: 2 })
  gate.open()
})

test("a handler runs for many leases and keeps its message: nobody else is given it, and it settles", async () => {
  const jobs = await queue({ lease: "1500ms" })
  const id = await jobs.send(1)
  const gate = createGate()
  const { worker, of, count } = watch([jobs.handler(() => gate.opened)], { name: "keeps" })
  await worker.start()
  await until(() => count("start") === 1)
  const [first] = await states(jobs.name)
  while ((await states(jobs.name))[0]!.vt < first!.vt + 4500) {
    expect(await jobs.read()).toBeNull()
    await sleep(20)
  }
  gate.open()
  await until(() => of(id).length === 2)
  expect(of(id)).toEqual(["start", "done"])
  expect(count("error")).toBe(0)
})

test("a message that was claimed ahead keeps its lease too while it waits for its turn", async () => {
  const jobs = await queue({ lease: "1500ms" })
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  const gate = createGate()
  const { worker, of } = watch([jobs.handler(() => gate.opened)], { concurrency: 1, prefetch: 1 })
  await worker.start()
  await until(async () => (await states(jobs.name)).every(({ state }) => state === "inFlight"))
  const [, ahead] = await states(jobs.name)
  await until(async () => (await states(jobs.name))[1]!.vt > ahead!.vt + 2000)
  expect(await jobs.read()).toBeNull()
  gate.open()
  await until(() => ids.every((id) => of(id).includes("done")))
  expect(of(ids[1]!)).toEqual(["start", "done"])
})

test("a beat extends only what would end before the beat after the next, and that to its whole length", async () => {
  const jobs = await queue({ lease: "30s" })
  const beat = async (helds: readonly { id: string; lease: string }[]): Promise<unknown> =>
    (await pool.query("select sluice.beat($1, $2) as answer", [JSON.stringify({ name: "sql", every: 10_000, queues: [jobs.name] }), JSON.stringify({ [jobs.name]: { ids: helds.map(({ id }) => id), leases: helds.map(({ lease }) => lease) } })])).rows[0].answer.lost
  await jobs.send("old")
  const old = (await jobs.read())!
  await moveClock(pool, "9 seconds")
  await jobs.send("young")
  const young = (await jobs.read())!
  // 21 s are left, and the beat after the next comes in 20 s.
  const [first] = await states(jobs.name)
  expect(await beat([old, young])).toEqual([])
  expect((await states(jobs.name))[0]!.vt).toBe(first!.vt)
  await moveClock(pool, "11 seconds")
  const [, before] = await states(jobs.name)
  expect(await beat([old, young])).toEqual([])
  const [kept, untouched] = await states(jobs.name)
  expect(kept!.vt - first!.vt).toBeGreaterThanOrEqual(11_000)
  expect(untouched!.vt).toBe(before!.vt)
})

test("a handler that is shorter than a beat costs no extension, though its worker beats for others", async () => {
  const [slow, quick] = [await queue({ lease: "30s" }), await queue({ lease: "1500ms" })]
  await slow.send(1)
  const gate = createGate()
  const { worker, count } = watch([slow.handler(() => gate.opened), quick.handler(() => {})], { name: "shy" })
  await worker.start()
  await until(() => count("start") === 1)
  const [claimed] = await states(slow.name)
  await beats("shy", 5)
  expect((await states(slow.name))[0]!.vt).toBe(claimed!.vt)
  gate.open()
})

test("ten messages that are handled within a beat: one claim of them, one settle, and no beat", async () => {
  const own = openPool(url, 3)
  const { driver, counts } = countingDriver(pgDriver(own))
  const other = createClient(driver, { listen: false, notify: false })
  afterAll(async () => {
    await other.close()
    await own.end()
  })
  const jobs = await queue()
  await jobs.sendBatch(Array.from({ length: 10 }, (_, payload) => ({ payload })))
  const { worker, count } = watch([other.queue(jobs.name).handler(() => {})], { concurrency: 10 }, other)
  await worker.start()
  await until(() => count("done") === 10)
  expect([counts.get("beat"), counts.get("finish")]).toEqual([1, 1])
})

test("beats pass over rows that somebody has locked: what is locked for long costs no other message its lease, and no beat waits", async () => {
  const jobs = await queue({ lease: "1500ms" })
  const ids = await jobs.sendBatch([1, 2, 3].map((payload) => ({ payload })))
  const gate = createGate()
  const { worker, of, count } = watch([jobs.handler(() => gate.opened)], { concurrency: 3 })
  await worker.start()
  await until(() => count("start") === 3)
  const lock = await pool.connect()
  await lock.query("begin")
  await lock.query("select from sluice.message where id = $1 for update", [ids[1]])
  const before = await states(jobs.name)
  await until(async () => (await states(jobs.name)).filter(({ vt }, i) => vt > before[i]!.vt + 2000).length === 2)
  const [first, locked, last] = await states(jobs.name)
  expect(locked!.vt).toBe(before[1]!.vt)
  expect([first!.state, last!.state]).toEqual(["inFlight", "inFlight"])
  // Its lease is over, but nobody can take what is locked; and as soon as it is free it is kept again.
  expect(await jobs.readBatch({ limit: 10 })).toEqual([])
  await lock.query("commit")
  lock.release()
  await until(async () => (await states(jobs.name))[1]!.state === "inFlight")
  gate.open()
  await until(() => count("done") + count("lost") === 3)
  expect(ids.map((id) => of(id))).toEqual(ids.map(() => ["start", "done"]))
})

test.each([1, 2])("a lost lease fires the handler's signal with StaleLeaseError by the next beat, and the settle is told as lost (calls of %i)", async (size) => {
  const jobs = await queue({ lease: "1500ms" })
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }].slice(0, size))
  const reasons: unknown[] = []
  const wait = (_: unknown, { signal }: { signal: AbortSignal }) => new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(void reasons.push(signal.reason))))
  const { worker, of } = watch([size === 1 ? jobs.handler(wait) : jobs.batchHandler(wait, { size })], { concurrency: 1 })
  await worker.start()
  await until(() => ids.every((id) => of(id).includes("start")))
  for (const id of ids) await pool.query("update sluice.message set lease = 1, vt = sluice.clock() + interval '1 hour' where id = $1", [id])
  await until(() => ids.every((id) => of(id).includes("lost")))
  expect(reasons).toHaveLength(1)
  expect(reasons[0]).toBeInstanceOf(StaleLeaseError)
  expect(ids.map((id) => of(id))).toEqual(ids.map(() => ["start", "lost"]))
  expect((await states(jobs.name)).map(({ attempt, state }) => [attempt, state])).toEqual(ids.map(() => [1, "inFlight"]))
})

test("of a call with many messages the signal fires when all are lost, not when one is", async () => {
  const jobs = await queue({ lease: "1500ms" })
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  let fired = 0
  const gate = createGate()
  const { worker, of } = watch([jobs.batchHandler((_, { signal }) => (signal.addEventListener("abort", () => fired++), gate.opened), { size: 2 })], { name: "whole" })
  await worker.start()
  await until(() => ids.every((id) => of(id).includes("start")))
  await pool.query("update sluice.message set lease = 1, vt = sluice.clock() + interval '1 hour' where id = $1", [ids[0]])
  await beats("whole", 2)
  expect(fired).toBe(0)
  gate.open()
  await until(() => ids.every((id) => of(id).length === 2))
  expect(ids.map((id) => of(id)[1])).toEqual(["lost", "done"])
})

test("a message that comes back to the same worker under a new lease is not lost by the old one's loss", async () => {
  const jobs = await queue({ lease: "1500ms" })
  const id = await jobs.send(1)
  const reasons: string[] = []
  const gate = createGate()
  const { worker, of } = watch([
    jobs.handler(({ attempt }, { signal }) => {
      signal.addEventListener("abort", () => reasons.push(`${attempt} ${(signal.reason as Error).name}`))
      return gate.opened
    }),
  ], { concurrency: 2, pollInterval: "5ms", name: "twice" })
  await worker.start()
  await until(() => of(id).length === 1)
  await pool.query("update sluice.message set lease = null, vt = sluice.clock() where id = $1", [id])
  await until(() => of(id).length === 2)
  await beats("twice", 3)
  expect(reasons).toEqual(["1 StaleLeaseError"])
  gate.open()
  await until(() => of(id).length === 4)
  expect(of(id).sort()).toEqual(["done", "lost", "start", "start"])
})

test("a beat that tells late of the old lease's loss does not abort the call under the new one", async () => {
  const own = openPool(url, 3)
  const inner = pgDriver(own)
  const gate = createGate()
  let late = false
  let waits = false
  const other = createClient({ ...inner, query: async (text, values, options) => {
    const rows = await inner.query(text, values, options)
    if (options?.name === "sluice_beat" && late) {
      waits = true
      await gate.opened
    }
    return rows as never
  } }, { listen: false, notify: false })
  afterAll(async () => {
    await other.close()
    await own.end()
  })
  const jobs = await queue({ lease: "3s" })
  const id = await jobs.send(1)
  const done = createGate()
  const aborted: number[] = []
  const { worker, of } = watch([
    other.queue(jobs.name).handler(({ attempt }, { signal }) => {
      signal.addEventListener("abort", () => aborted.push(attempt))
      return done.opened
    }),
  ], { concurrency: 2, pollInterval: "20ms" }, other)
  await worker.start()
  await until(() => of(id).length === 1)
  await pool.query("update sluice.message set lease = null, vt = sluice.clock() + interval '1 hour' where id = $1", [id])
  late = true
  await until(() => waits)
  await pool.query("update sluice.message set vt = sluice.clock() where id = $1", [id])
  await until(() => of(id).length === 2)
  late = false
  gate.open()
  await sleep(50)
  expect(aborted).toEqual([1])
  done.open()
  await until(() => of(id).length === 4)
  expect(of(id).sort()).toEqual(["done", "lost", "start", "start"])
})

test("beats that fail for a while cost no lease that outlives them, and a failed one is soon followed by another", async () => {
  const own = openPool(url, 3)
  const inner = pgDriver(own)
  let broken = false
  let asked = 0
  const other = createClient({ ...inner, query: (text, values, options) => {
    if (options?.name !== "sluice_beat" || !broken) return inner.query(text, values, options)
    asked++
    return Promise.reject(new Error("no beat"))
  } }, { listen: false, notify: false })
  afterAll(async () => {
    await other.close()
    await own.end()
  })
  const jobs = await queue({ lease: "3s" })
  const id = await jobs.send(1)
  const gate = createGate()
  const { worker, of, count } = watch([other.queue(jobs.name).handler(() => gate.opened)], {}, other)
  await worker.start()
  await until(() => of(id).length === 1)
  const [first] = await states(jobs.name)
  broken = true
  await until(() => asked >= 5)
  broken = false
  await until(async () => (await states(jobs.name))[0]!.vt > first!.vt + 1000)
  gate.open()
  await until(() => of(id).length === 2)
  expect(of(id)).toEqual(["start", "done"])
  expect(count("error")).toBeGreaterThanOrEqual(5)
})
