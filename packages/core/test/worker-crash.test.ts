import { expect, test } from "vitest"
import type { WorkerChildTask } from "./helpers/worker-child.ts"
import { type Child, startChild } from "./helpers/child.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { until } from "./helpers/until.ts"
import { workerHarness } from "./helpers/worker-harness.ts"

const { url, pool, client, queue, watch, states } = await workerHarness()

interface Told {
  readonly event: string
  readonly id?: string
  readonly attempt?: number
}

function startWorker(task: Omit<WorkerChildTask, "url">): Child {
  return startChild("worker-child.ts", JSON.stringify({ url, ...task }))
}

/** Reads on until the child tells this. */
async function heard(child: Child, event: string): Promise<Told> {
  for (;;) {
    const told = await child.next<Told>()
    if (told.event === event) return told
  }
}

test("a worker that is killed: its message, and what it had claimed ahead, are back after 30 s, not before, and without anybody's help", async () => {
  const jobs = await queue()
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  const child = startWorker({ queue: jobs.name, handler: "hang", options: { concurrency: 1, prefetch: 1 } })
  await heard(child, "start")
  await until(async () => (await states(jobs.name)).every(({ state }) => state === "inFlight"))
  await child.kill()
  const now = (await pool.query("select extract(epoch from clock_timestamp())::float8 * 1000 as now")).rows[0].now as number
  for (const { vt } of await states(jobs.name)) expect(vt - now).toBeLessThan(30_000)
  expect(await jobs.readBatch({ limit: 5 })).toEqual([])
  await moveClock(pool, "30 seconds")
  expect((await jobs.readBatch({ limit: 5 })).map(({ id, attempt }) => [id, attempt])).toEqual(ids.map((id) => [id, 2]))
}, 40_000)

test("a killed worker's message is taken over by another one after a short lease, in real time", async () => {
  const jobs = await queue<number>({ lease: "600ms" })
  const id = await jobs.send(1)
  const child = startWorker({ queue: jobs.name, handler: "hang" })
  await heard(child, "start")
  const { worker, of, told } = watch([jobs.handler(() => {})], { pollInterval: "20ms" })
  await worker.start()
  await child.kill()
  await until(() => of(id).includes("done"))
  expect(told.find(({ name }) => name === "start")!.event).toMatchObject({ message: { attempt: 2 } })
}, 40_000)

test("a worker that is suspended past its lease: another takes over, and when it wakes its settle is refused and told as lost, and it goes on", async () => {
  const jobs = await queue<number>({ lease: "600ms", done: "archive" })
  const id = await jobs.send(1)
  const child = startWorker({ queue: jobs.name, handler: 400, options: { pollInterval: "20ms" } })
  await heard(child, "start")
  child.suspend()
  const { worker, of } = watch([jobs.handler(() => {})], { pollInterval: "20ms" })
  await worker.start()
  await until(() => of(id).includes("done"), "the other one has taken over")
  await worker.stop()
  child.resume()
  expect(await heard(child, "lost")).toMatchObject({ id, attempt: 1 })
  const next = await jobs.send(2)
  expect(await heard(child, "done")).toMatchObject({ id: next, attempt: 1 })
  expect((await client.admin.archive.list({ queue: jobs.name })).items.map((item) => item.id).sort()).toEqual([id, next].sort())
  await child.kill()
}, 40_000)

test("a worker that is suspended past its lease while another one still handles the message loses it too: the other one keeps it", async () => {
  const jobs = await queue<number>({ lease: "1500ms" })
  const id = await jobs.send(1)
  const child = startWorker({ queue: jobs.name, handler: "abortable", options: { pollInterval: "20ms" } })
  await heard(child, "start")
  child.suspend()
  let go = (): void => {}
  const gate = new Promise<void>((resolve) => (go = resolve))
  const { worker, of } = watch([jobs.handler(() => gate)], { pollInterval: "20ms", name: "taker" })
  await worker.start()
  await until(() => of(id).includes("start"))
  child.resume()
  expect(await heard(child, "lost")).toMatchObject({ id, attempt: 1 })
  expect(await states(jobs.name)).toMatchObject([{ id, attempt: 2, state: "inFlight" }])
  go()
  await until(() => of(id).includes("done"))
  await child.kill()
}, 40_000)

test("what a suspended worker had claimed ahead does not begin when it wakes, if another one has it", async () => {
  const jobs = await queue<number>({ lease: "600ms" })
  const ids = await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  const child = startWorker({ queue: jobs.name, handler: 300, options: { concurrency: 1, prefetch: 1, pollInterval: "20ms" } })
  await heard(child, "start")
  await until(async () => (await states(jobs.name)).every(({ state }) => state === "inFlight"))
  child.suspend()
  const { worker, of } = watch([jobs.handler(() => {})], { pollInterval: "20ms" })
  await worker.start()
  await until(() => ids.every((id) => of(id).includes("done")))
  await worker.stop()
  child.resume()
  const told = [await child.next<Told>(), await child.next<Told>()]
  expect(told.map(({ event }) => event)).toEqual(["lost", "lost"])
  expect(told.map(({ id }) => id!).sort()).toEqual([...ids].sort())
  await child.kill()
}, 40_000)

test("a message that kills each process that handles it is dead after its last attempt, and the others are handled", async () => {
  const jobs = await queue<number>({ lease: "200ms", maxAttempts: 2, backoff: null })
  const id = await jobs.send(1)
  for (let n = 0; n < 2; n++) {
    const child = startWorker({ queue: jobs.name, handler: "kill", options: { pollInterval: "20ms" } })
    await child.ended
  }
  const { worker, of } = watch([jobs.handler(() => {})], { pollInterval: "20ms" })
  await worker.start()
  const next = await jobs.send(2)
  await until(() => of(next).includes("done"))
  await until(async () => (await client.admin.archive.get(id)) !== null)
  expect(await client.admin.archive.get(id)).toMatchObject({ outcome: "dead", attempt: 2 })
  expect(of(id)).toEqual([])
}, 40_000)
