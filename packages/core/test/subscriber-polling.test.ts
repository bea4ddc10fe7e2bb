import { createClient, type Subscriber } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterAll, expect, test } from "vitest"
import { countingDriver } from "./helpers/counting-driver.ts"
import { openPool } from "./helpers/harness.ts"
import { subscriberHarness } from "./helpers/subscriber-harness.ts"
import { until } from "./helpers/until.ts"

const { client, url, pool, stream, publish, watch } = await subscriberHarness()

/** A client of its own, as another process would have it, whose statements are counted. */
function counted(options: { listen: boolean; notify: boolean }) {
  const own = openPool(url, 4)
  const { driver, counts } = countingDriver(pgDriver(own))
  const other = createClient(driver, options)
  afterAll(async () => {
    await other.close()
    await own.end()
  })
  return { client: other, counts, looks: () => counts.get("next_batch") ?? 0 }
}

/** How often it found nothing, as it goes. */
function idleOf(subscriber: Subscriber): number[] {
  const at: number[] = []
  subscriber.on("idle", () => at.push(performance.now()))
  return at
}

test("a batch is two statements, whatever becomes of its events; a look that finds nothing is one", async () => {
  const events = await stream({ backoff: { kind: "fixed", base: "1h", max: "1h" } })
  await events.publishBatch(Array.from({ length: 1000 }, (_, data) => ({ type: "n", data })))
  const { client: other, counts } = counted({ listen: false, notify: false })
  const { subscriber, count } = watch(events, ({ data }) => {
    if (Number(data) % 100 === 0) throw new Error("now and then")
  }, { maxEvents: 100, concurrency: 10 }, other)
  await subscriber.drain()
  expect([count("finished"), count("done"), count("retry")]).toEqual([10, 990, 10])
  expect(Object.fromEntries(counts)).toEqual({ probe_subscription: 1, installation_id: 1, next_batch: 11, finish_batch: 10 })
})

test("in a transaction it has begin, lock, finish and commit more, and two for each savepoint", async () => {
  const events = await stream()
  await events.publishBatch(Array.from({ length: 30 }, (_, data) => ({ type: "n", data })))
  const own = openPool(url, 2)
  const texts: string[] = []
  own.on("connect", (connection) => {
    const query = connection.query.bind(connection) as (...args: unknown[]) => unknown
    connection.query = ((...args: [{ text?: string } | string]) => {
      texts.push(typeof args[0] === "string" ? args[0] : args[0].text!)
      return query(...args)
    }) as never
  })
  const other = createClient(pgDriver(own), { listen: false, notify: false })
  await other.subscriber(events.name, "s", () => {}, { transactional: true, maintenance: false, maxEvents: 10 }).drain()
  const count = (pattern: RegExp): number => texts.filter((text) => pattern.test(text)).length
  expect([count(/try_next_batch/), count(/^begin/i), count(/try_lock_batch/), count(/^savepoint/), count(/^release/), count(/try_finish_batch/), count(/^commit/i)]).toEqual([4, 3, 3, 30, 30, 3, 3])
  expect(texts).toHaveLength(4 + 3 * 4 + 60 + 2)
  await other.close()
  await own.end()
})

test("an idle subscriber looks after 5 ms, then ever later, up to its pollInterval, and does nothing else", async () => {
  const events = await stream()
  const { client: other, counts, looks } = counted({ listen: false, notify: false })
  const { subscriber } = watch(events, () => {}, { pollInterval: "100ms" }, other)
  const at = idleOf(subscriber)
  await subscriber.start()
  await until(() => at.length === 16)
  // A pause is never shorter than it should be; how much longer the machine makes it is no matter.
  const pauses = at.slice(1).map((time, i) => time - at[i]!)
  expect(pauses.slice(0, 5).map((ms, i) => ms >= 5 * 2 ** i - 2)).toEqual([true, true, true, true, true])
  expect(pauses.slice(5).every((ms) => ms >= 98)).toBe(true)
  expect(looks() - at.length).toBeLessThan(2)
  expect([...counts.keys()].toSorted()).toEqual(["next_batch", "probe_subscription"])
})

/** Of each table how many rows there are and who wrote them. Transaction ids tell nothing: other files of tests use the same server. */
async function contents(): Promise<unknown[]> {
  const { rows: tables } = await pool.query("select oid::regclass::text as name from pg_class where relnamespace = 'sluice'::regnamespace and relkind = 'r' order by 1")
  return Promise.all(tables.map(async ({ name }) => [name, (await pool.query(`select count(*), sum(xmin::text::bigint), max(ctid) from ${name}`)).rows[0]]))
}

test("it leaves nothing behind in the database while it is idle", async () => {
  const events = await stream()
  const { subscriber } = watch(events, () => {}, { pollInterval: "5ms" })
  const at = idleOf(subscriber)
  await subscriber.start()
  await until(() => at.length > 1)
  const [before, looks] = [await contents(), at.length]
  await until(() => at.length > looks + 30)
  expect(await contents()).toEqual(before)
})

test("a publish in the same process, and a NOTIFY, wake one that would not look for an hour", async () => {
  const events = await stream()
  const { client: sender } = counted({ listen: false, notify: true })
  const { client: other, looks } = counted({ listen: true, notify: false })
  const { subscriber, count } = watch(events, () => {}, { pollInterval: "1h" }, other)
  await subscriber.start()
  // Pauses double: after the 15th look nothing happens for more than a minute but by a wake.
  for (let wakes = 0; looks() < 16; wakes++) {
    await other.wake(events.name)
    await until(() => looks() > wakes)
  }
  const ways: (() => Promise<unknown>)[] = [
    () => sender.stream(events.name).publish("n", 1),
    () => sender.transaction((tx) => sender.stream(events.name).publish("n", 1, { tx })),
    () => other.stream(events.name).publish("n", 1),
    () => other.transaction((tx) => other.stream(events.name).publishBatch([{ type: "n", data: 1 }], { tx })),
    async () => {
      await publish(events, 1)
      await sender.wake(events.name)
    },
  ]
  for (const [n, way] of ways.entries()) {
    // Idle again, so that nothing but the wake brings it.
    const asked = looks()
    await until(() => looks() >= asked)
    await way()
    await until(() => count("done") === n + 1, `it is woken by way ${n}`)
  }
})

test("an event to be retried comes when it is due, though nothing is published", async () => {
  const events = await stream({ backoff: { kind: "fixed", base: "300ms", max: "300ms" } })
  await publish(events, 1)
  const { subscriber, said } = watch(events, ({ attempt }) => {
    if (attempt === 1) throw new Error("once")
  }, { pollInterval: "20ms" })
  await subscriber.start()
  await until(() => said().length === 2)
  expect(said()).toEqual(["retry 1", "done 1"])
  expect((await client.admin.getSubscriptionInfo(events.name, "s")).retries).toBe(0)
})
