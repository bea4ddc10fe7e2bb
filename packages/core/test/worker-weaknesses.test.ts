import { StaleLeaseError } from "@sluice/core"
import { describe, expect, test } from "vitest"
import { startChild } from "./helpers/child.ts"
import { errorOf } from "./helpers/error-of.ts"
import { createGate } from "./helpers/gate.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { until } from "./helpers/until.ts"
import { workerHarness } from "./helpers/worker-harness.ts"

// Named after what the systems before Sluice got wrong, to show that it is not there.
const { url, pool, client, queue, watch, states } = await workerHarness()
const notes = async (): Promise<number> => (await pool.query("select from sluice.cancellation")).rowCount!

describe("AsyncMQ", () => {
  test("a late completion resurrects what was cancelled: here it is refused, and the message stays cancelled", async () => {
    const jobs = await queue<number>({ done: "archive" })
    const id = await jobs.send(1)
    const late = (await jobs.read())!
    expect(await jobs.cancel(id)).toBe("requested")
    await moveClock(pool, "31 seconds")
    expect(await jobs.read()).toBeNull()
    for (const settle of [jobs.delete, jobs.archive, jobs.retry, jobs.release]) expect(await errorOf(settle(late))).toBeInstanceOf(StaleLeaseError)
    expect(await client.admin.archive.get(id)).toMatchObject({ outcome: "cancelled" })
    expect(await states(jobs.name)).toEqual([])
  })

  test("what is cancelled while it runs is taken for stalled, and delivered once more: here never, though its handler runs for many leases", async () => {
    const jobs = await queue<number>({ lease: "1500ms" })
    const id = await jobs.send(1)
    const gate = createGate()
    const first = watch([jobs.handler(() => gate.opened)])
    const second = watch([jobs.handler(() => {})], { pollInterval: "20ms" })
    await first.worker.start()
    await until(() => first.of(id).length === 1)
    await second.worker.start()
    const [claimed] = await states(jobs.name)
    await jobs.cancel(id)
    await until(async () => (await states(jobs.name))[0]!.vt > claimed!.vt + 3000)
    expect(second.of(id)).toEqual([])
    gate.open()
    await until(() => first.of(id).length === 2)
    expect(first.of(id)).toEqual(["start", "cancelled"])
  })

  test("markers of cancelled jobs leak: here none is left, whether the message was waiting, run, done, killed or dropped with its queue", async () => {
    const jobs = await queue<number>({ backoff: null })
    const ids = await jobs.sendBatch(Array.from({ length: 5 }, (_, payload) => ({ payload })))
    const held = await jobs.readBatch({ limit: 4 })
    for (const id of ids) await jobs.cancel(id)
    expect(await notes()).toBe(4)
    await jobs.retry(held[0]!)
    await jobs.delete(held[1]!)
    await client.admin.messages.delete(jobs.name, held[2]!.id)
    await client.maintenance().run()
    expect(await notes()).toBe(1)
    await moveClock(pool, "31 seconds")
    expect(await jobs.read()).toBeNull()
    expect(await notes()).toBe(0)

    const dropped = await queue<number>()
    const id = await dropped.send(1)
    await dropped.read()
    await dropped.cancel(id)
    await client.admin.dropQueue(dropped.name, { force: true })
    await client.maintenance().run()
    expect(await notes()).toBe(0)
  })

  test("a marker poisons the id when it is used again: here one that was cancelled just as it died is delivered when it is redriven", async () => {
    const jobs = await queue<number>({ maxAttempts: 1 })
    const id = await jobs.send(1)
    await jobs.deadLetter((await jobs.read())!)
    // What a cancel leaves that meets a message just as it dies.
    await pool.query("insert into sluice.cancellation select q.id, $2, sluice.clock() from sluice.queue q where q.name = $1", [jobs.name, id])
    expect(await client.admin.redrive(jobs.name)).toHaveLength(1)
    expect(await jobs.read()).toMatchObject({ id })
    expect(await notes()).toBe(0)
  })

  test("a paused worker still dequeues, and takes a minute to resume: here a pause holds for every process, and resume is heard at the next look", async () => {
    const jobs = await queue<number>()
    const child = startChild("worker-child.ts", JSON.stringify({ url, queue: jobs.name, handler: "return", options: { pollInterval: "20ms" } }))
    while ((await child.next()).event !== "ready");
    const { worker, count } = watch([jobs.handler(() => {})], { pollInterval: "20ms" })
    let idle = 0
    worker.on("idle", () => idle++)
    await worker.start()
    await client.admin.pauseQueue(jobs.name)
    // A claim that was under way had looked at the queue before.
    const paused = idle
    await until(() => idle > paused + 10)
    await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
    const before = idle
    await until(() => idle > before + 10)
    expect((await states(jobs.name)).map(({ attempt }) => attempt)).toEqual([0, 0])
    expect(count("start")).toBe(0)
    await client.admin.resumeQueue(jobs.name)
    await until(async () => (await states(jobs.name)).length === 0)
    await child.kill()
  }, 40_000)

  test("a heartbeat that fails kills the worker: here it is told, and the next message is handled", async () => {
    const jobs = await queue<number>({ lease: "300ms" })
    const { worker, count } = watch([jobs.handler(() => {})], { pollInterval: "20ms" })
    await worker.start()
    await pool.query("alter table sluice.worker rename to elsewhere")
    await until(() => count("error") >= 2)
    await pool.query("alter table sluice.elsewhere rename to worker")
    await jobs.send(1)
    await until(() => count("done") === 1)
  })
})

describe("pgqrs", () => {
  test("the loop dies of the first handler error, and no reason is kept: here the next message is handled, and each attempt's error is there", async () => {
    const jobs = await queue<number>({ backoff: null, maxAttempts: 3 })
    const bad = await jobs.send(1)
    const { worker, of } = watch([
      jobs.handler(({ payload, attempt }) => {
        if (payload === 1) throw new Error(`failure ${attempt}`)
      }),
    ], { concurrency: 1 })
    await worker.start()
    await until(() => of(bad).includes("dead"))
    const good = await jobs.send(2)
    await until(() => of(good).includes("done"))
    expect((await client.admin.archive.get(bad))!.errors.map(({ message }) => message)).toEqual(["failure 1", "failure 2", "failure 3"])
  })

  test("a visibility timeout that runs out redelivers nothing: here expiry alone does, without a reaper or anybody's call", async () => {
    const jobs = await queue<number>()
    const id = await jobs.send(1)
    const child = startChild("worker-child.ts", JSON.stringify({ url, queue: jobs.name, handler: "hang" }))
    while ((await child.next()).event !== "start");
    await child.kill()
    const { worker, of } = watch([jobs.handler(() => {})], { pollInterval: "20ms" })
    await worker.start()
    await moveClock(pool, "31 seconds")
    await until(() => of(id).includes("done"))
  }, 40_000)

  test("heartbeats come only while it waits: here they come while all handlers are busy, and keep every lease", async () => {
    const jobs = await queue<number>({ lease: "1500ms" })
    const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
    const gate = createGate()
    const { worker, of } = watch([jobs.handler(() => gate.opened)], { concurrency: 2, name: "busy" })
    await worker.start()
    await until(() => ids.every((id) => of(id).length === 1))
    const stamps = new Set<number>()
    await until(async () => {
      const { rows } = await pool.query("select extract(epoch from beat_at)::float8 as at, held from sluice.worker where name = 'busy'")
      if (rows[0].held === 2) stamps.add(rows[0].at)
      return stamps.size === 6
    })
    expect((await states(jobs.name)).map(({ state, attempt }) => [state, attempt])).toEqual([["inFlight", 1], ["inFlight", 1]])
    gate.open()
    await until(() => ids.every((id) => of(id).length === 2))
    expect(ids.map((id) => of(id)[1])).toEqual(["done", "done"])
  })

  test("every call leaks a worker row: here only workers have one, one each, and starting again takes the same", async () => {
    const { rows: before } = await pool.query("select count(*)::int4 as n from sluice.worker")
    const jobs = await queue<number>()
    await jobs.send(1)
    await jobs.delete((await jobs.read())!)
    await jobs.metrics()
    await jobs.purge()
    for (let n = 0; n < 3; n++) {
      const { worker } = watch([jobs.handler(() => {})], { name: "again" })
      await worker.drain()
    }
    const { rows: after } = await pool.query("select count(*)::int4 as n from sluice.worker")
    expect(after[0].n - before[0].n).toBe(1)
  })

  test("a zombie's delete, archive and extend go through after another has taken over: here all are refused", async () => {
    const jobs = await queue<number>()
    await jobs.send(1)
    const zombie = (await jobs.read())!
    await moveClock(pool, "31 seconds")
    const { worker, count } = watch([jobs.handler(() => new Promise(() => {}))])
    await worker.start()
    await until(() => count("start") === 1)
    for (const settle of [() => jobs.delete(zombie), () => jobs.archive(zombie), () => jobs.extend(zombie, "1m")]) expect(await errorOf(settle)).toBeInstanceOf(StaleLeaseError)
  })
})
