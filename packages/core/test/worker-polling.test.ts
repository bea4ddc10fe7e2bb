import { setTimeout as sleep } from "node:timers/promises"
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterAll, expect, test } from "vitest"
import { countingDriver } from "./helpers/counting-driver.ts"
import { openPool } from "./helpers/harness.ts"
import { until } from "./helpers/until.ts"
import { workerHarness } from "./helpers/worker-harness.ts"

const { url, pool, queue, watch } = await workerHarness()

/** A client of its own, as another process would have it, whose statements are counted. */
function counted(options: { listen: boolean; notify: boolean }) {
  const own = openPool(url, 4)
  const { driver, counts } = countingDriver(pgDriver(own))
  const other = createClient(driver, options)
  afterAll(async () => {
    await other.close()
    await own.end()
  })
  return { client: other, counts, reads: () => counts.get("read") ?? 0 }
}

test("an idle worker looks after 5 ms, then ever later, up to its pollInterval, and beats not at all meanwhile", async () => {
  const jobs = await queue()
  const { client: other, counts, reads } = counted({ listen: false, notify: false })
  const { worker } = watch([other.queue(jobs.name).handler(() => {})], { pollInterval: "100ms" }, other)
  const looks: number[] = []
  worker.on("idle", () => looks.push(performance.now()))
  await worker.start()
  await until(() => looks.length === 16)
  // A pause is never shorter than it should be; how much longer the machine makes it is no matter. The first are 5, 10, 20, 40, 80 ms.
  const pauses = looks.slice(1).map((at, i) => at - looks[i]!)
  expect(pauses.slice(0, 5).map((ms, i) => ms >= 5 * 2 ** i - 2)).toEqual([true, true, true, true, true])
  expect(pauses.slice(5).every((ms) => ms >= 98)).toBe(true)
  expect(reads() - looks.length).toBeLessThan(2)
  expect([...counts].filter(([name]) => name !== "read")).toEqual([["beat", 1], ["installation_id", 1]])
})

test("durations longer than a timer can be are no busy loop", async () => {
  const jobs = await queue()
  const { client: other, reads, counts } = counted({ listen: false, notify: false })
  const { worker, told } = watch([other.queue(jobs.name).handler(() => sleep(20), { timeout: "60d", lease: "200d" })], { pollInterval: "60d" }, other)
  await worker.start()
  // From the 20th look on a pause is longer than an hour; with doubling pauses the 40th would be beyond what a timer can be.
  for (let wakes = 0; wakes < 45; wakes++) {
    await other.queue(jobs.name).send(wakes)
    await until(() => told.filter(({ name }) => name === "done").length > wakes)
  }
  expect(told.filter(({ name }) => name === "retry")).toEqual([])
  const before = reads()
  await sleep(100)
  expect(reads() - before).toBeLessThan(10)
  expect(counts.get("beat")).toBe(1)
})

test("under a lease of months the worker still beats every 10 s", async () => {
  const jobs = await queue()
  await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
  // The second message waits so long that the worker asks before it begins it: a beat that nobody waits for.
  const { worker, count } = watch([jobs.handler(() => sleep(500), { lease: "300d" })], { concurrency: 1, prefetch: 1 })
  await worker.start()
  await until(() => count("start") === 2)
  const { rows } = await pool.query("select every::text from sluice.worker where name = $1", [worker.name])
  expect(rows).toEqual([{ every: "00:00:10" }])
})

test("without LISTEN a worker finds what was sent elsewhere at its next look", async () => {
  const jobs = await queue<number>()
  const { client: other } = counted({ listen: false, notify: false })
  const { worker, count } = watch([other.queue(jobs.name).handler(() => {})], { pollInterval: "50ms" }, other)
  let idle = 0
  worker.on("idle", () => idle++)
  await worker.start()
  await until(() => idle >= 6)
  await jobs.send(1)
  await until(() => count("done") === 1)
})

test("a NOTIFY wakes a worker that would not look for an hour", async () => {
  const jobs = await queue<number>()
  const { client: sender } = counted({ listen: false, notify: true })
  const { client: other, reads } = counted({ listen: true, notify: false })
  const { worker, count } = watch([other.queue(jobs.name).handler(() => {})], { pollInterval: "1h" }, other)
  await worker.start()
  // Pauses double: after the 15th look nothing happens for more than a minute but by a wake.
  for (let wakes = 0; reads() < 16; wakes++) {
    await other.wake(jobs.name)
    await until(() => reads() > wakes)
  }
  for (let n = 1; n <= 3; n++) {
    await sender.queue(jobs.name).send(n)
    await until(() => count("done") === n, "the worker is woken")
  }
})
