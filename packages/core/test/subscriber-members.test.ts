import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, expect, test } from "vitest"
import { type Child, startChild } from "./helpers/child.ts"
import { createGate } from "./helpers/gate.ts"
import { moveClock } from "./helpers/move-clock.ts"
import type { SubscriberChildTask } from "./helpers/subscriber-child.ts"
import { subscriberHarness } from "./helpers/subscriber-harness.ts"
import { until } from "./helpers/until.ts"

const { client, pool, url, stream, publish, watch } = await subscriberHarness()

const children: Child[] = []
afterEach(() => Promise.all(children.splice(0).map((child) => child.kill())))

async function start(task: Omit<SubscriberChildTask, "url">): Promise<Child> {
  const child = startChild("subscriber-child.ts", JSON.stringify({ url, ...task }))
  children.push(child)
  await next(child, "ready")
  return child
}

/** What it tells next of this name. */
async function next(child: Child, name: string): Promise<{ event: string; data?: unknown; attempt?: number }> {
  for (;;) {
    const told = await child.next<{ event: string }>()
    if (told.event === name) return told
  }
}

const numbers = (count: number) => Array.from({ length: count }, (_, data) => ({ type: "n", data }))
const doneOf = async (name: string): Promise<number[]> => (await pool.query("select n from seen where stream = $1 order by n", [name])).rows.map(({ n }) => n as number)
await pool.query("create table seen (stream text not null, n int not null)")

test.each([1, 2, 5])("%i members in one process deal whole batches out among them, each event to one", async (members) => {
  const events = await stream()
  await events.publishBatch(numbers(100))
  let [running, most] = [0, 0]
  const batches = new Set<string>()
  const gate = createGate()
  const { subscriber, said } = watch(events, async (_, { batch }) => {
    batches.add(batch.id)
    most = Math.max(most, ++running)
    if (most === members) gate.open()
    await gate.opened
    running--
  }, { members, maxEvents: 10 })
  await subscriber.drain()
  expect(most).toBe(members)
  expect(batches.size).toBe(10)
  expect(said().toSorted()).toEqual(numbers(100).map(({ data }) => `done ${data}`).toSorted())
})

test("without members one batch at a time is out, whoever asks; each event once", async () => {
  const events = await stream()
  await events.publishBatch(numbers(60))
  let [running, most] = [0, 0]
  const handle = async (): Promise<void> => {
    most = Math.max(most, ++running)
    await sleep(1)
    running--
  }
  const [a, b] = [watch(events, handle, { maxEvents: 5, pollInterval: "5ms" }), watch(events, handle, { maxEvents: 5, pollInterval: "5ms" })]
  await Promise.all([a.subscriber.start(), b.subscriber.start()])
  await until(() => a.said().length + b.said().length === 60)
  expect(most).toBe(1)
  expect(new Set([...a.said(), ...b.said()]).size).toBe(60)
})

test("members of several processes: each event once, also of those that come while they join and leave", async () => {
  const events = await stream()
  const first = await start({ stream: events.name, options: { members: 2, maxEvents: 7 } })
  await events.publishBatch(numbers(100))
  const second = await start({ stream: events.name, options: { members: 2, maxEvents: 7 } })
  for (let n = 100; n < 200; n++) await publish(events, n)
  await Promise.all([next(first, "finished"), next(second, "finished").catch(() => {})])
  await until(async () => (await doneOf(events.name)).length >= 200)
  expect(await doneOf(events.name)).toEqual(numbers(200).map(({ data }) => data))
})

test("a member's process that is killed: its batch is taken over after its lease, once, attempt 2", async () => {
  const events = await stream({ lease: "1h" })
  await publish(events, 1)
  const child = await start({ stream: events.name, options: { members: 1 }, handler: "hang" })
  await next(child, "began")
  await child.kill()
  const attempts: number[] = []
  const { subscriber, said } = watch(events, ({ attempt }) => attempts.push(attempt), { members: 2, pollInterval: "20ms" })
  await subscriber.start()
  await publish(events, 2)
  await until(() => said().length === 1)
  expect(said()).toEqual(["done 2"])
  await moveClock(pool, "61 minutes")
  await until(() => said().length === 2)
  expect([said(), attempts]).toEqual([["done 2", "done 1"], [1, 2]])
})

test("a process that stood still past its lease hears that its batch is lost, settles nothing, and reads on", async () => {
  const events = await stream({ lease: "600ms" })
  await publish(events, 1)
  const child = await start({ stream: events.name, handler: 1000 })
  await next(child, "began")
  child.suspend()
  const { subscriber, said } = watch(events, () => {}, { pollInterval: "20ms" })
  await subscriber.start()
  await until(() => said().length === 1)
  await subscriber.stop()
  child.resume()
  await next(child, "lost")
  expect(said()).toEqual(["done 1"])
  await publish(events, 2)
  expect(await next(child, "done")).toMatchObject({ data: 2, attempt: 1 })
  expect((await client.admin.getSubscriptionInfo(events.name, "s")).batches).toEqual([])
})

test("an event that kills every process that handles it ends up dead, alone", async () => {
  const events = await stream({ lease: "1h", backoff: null, maxAttempts: 3 })
  await events.publishBatch(numbers(3))
  const given = async (): Promise<unknown[]> => (await client.admin.deadEvents(events.name, "s")).map(({ data }) => data)
  for (let round = 1; (await given()).length === 0; round++) {
    await moveClock(pool, `${round * 61} minutes`)
    const child = await start({ stream: events.name, handler: "kill 1", options: { maxEvents: 10 } })
    const alive = new AbortController()
    await Promise.race([child.ended, until(async () => alive.signal.aborted || (await given()).length > 0)])
    alive.abort()
  }
  expect(await given()).toEqual([1])
  const { subscriber } = watch(events, () => {})
  await subscriber.start()
  // The last child is alive where the one to blame died without being read, and has the others, or has not.
  await until(async () => (await client.admin.getSubscriptionInfo(events.name, "s")).retries === 0)
  expect(await given()).toEqual([1])
}, 60_000)

test("a process whose subscriber has stopped, and whose client is closed, ends by itself", async () => {
  const events = await stream()
  await publish(events, 1)
  const child = await start({ stream: events.name, thenStop: true, listen: true, options: { members: 2, maintenance: true, timeout: "1h" } })
  await next(child, "done")
  expect(await child.ended).toBe(0)
})
