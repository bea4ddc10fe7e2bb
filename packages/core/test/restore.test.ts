import { type Batch, createClient, RestoredElsewhereError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { createDatabase, startEmbedded } from "@sluice/testkit"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { copyInstallation } from "./helpers/copy-installation.ts"
import { errorOf } from "./helpers/error-of.ts"
import { openPool } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { sqlOn } from "./helpers/sql-on.ts"

const [first, second] = await Promise.all([startEmbedded({ settings: { autovacuum: "off" } }), startEmbedded({ settings: { autovacuum: "off" } })])
const open = (url: string) => {
  const pool = openPool(url)
  const client = createClient(pgDriver(pool), { listen: false, notify: false })
  return { pool, client, stream: client.stream("orders"), idle: client.stream("idle"), ...sqlOn(pool) }
}
const old = open(first.url)
let fresh: ReturnType<typeof open>
afterAll(async () => {
  await Promise.all([old.pool.end(), fresh?.pool.end()])
  await Promise.all([first.stop(), second.stop()])
})

type Here = typeof old

/** All that a subscription gets until there is nothing for it. */
async function rest({ stream }: Pick<Here, "stream">, name: string, owner = "rest"): Promise<string[]> {
  const ids: string[] = []
  for (let batch; (batch = await stream.subscription(name, { owner }).nextBatch()) !== null; await batch.finish()) {
    ids.push(...(await batch.list()).map(({ id }) => id))
  }
  return ids
}

const publish = async ({ stream }: Pick<Here, "stream">, count: number): Promise<string[]> => stream.publishBatch(Array.from({ length: count }, (_, n) => ({ type: "made", data: { n } })))
const next = async (name: string, owner: string, options: object, member = false): Promise<Batch> => (await old.stream.subscription(name, { owner, member }).nextBatch(options))!

const names = ["opened", "sliced", "members", "retrying", "dead", "done", "untouched"]
/** What each subscription had not finished when the tables were copied. */
const expected: Record<string, string[]> = {}
let everything: string[]

beforeAll(async () => {
  await old.client.admin.install()
  // Ids of transactions here are far from those of a new cluster.
  for (let n = 0; n < 300; n++) await old.pool.query("select pg_current_xact_id()")
  await old.client.admin.createStream("orders", { rotationPeriod: "1h" })
  await old.client.admin.createStream("idle", { retention: "1d" })
  await old.idle.publish("alone", 1)
  await old.client.admin.createQueue("jobs")
  for (const name of names) await old.client.admin.createSubscription("orders", name, { backoff: null, lease: "1h" })
  const late = await old.pool.connect()
  await late.query("begin")
  const lateId = await old.stream.publish("late", 1, { tx: late })
  const ids = await publish(old, 10)

  await next("opened", "holder", {})
  expected["opened"] = ids

  await (await next("sliced", "a", { maxEvents: 3 })).finish()
  await next("sliced", "a", { maxEvents: 3 })
  expected["sliced"] = ids.slice(3)

  const parts = []
  for (const owner of ["m1", "m2", "m3"]) parts.push(await next("members", owner, { maxEvents: 3 }, true))
  await parts[1]!.finish()
  expected["members"] = [...ids.slice(0, 3), ...ids.slice(6)]

  const retrying = await next("retrying", "a", {})
  const [one, two] = await retrying.list()
  retrying.retry(one!, { delay: 0 })
  retrying.retry(two!, { delay: "2h" })
  await retrying.finish()
  await next("retrying", "a", {}) // the first, which is held
  expected["retrying"] = ids.slice(0, 2)

  const dead = await next("dead", "a", {})
  dead.deadLetter((await dead.list())[4]!)
  await dead.finish()
  expected["dead"] = []

  await rest(old, "done")
  expected["done"] = []
  expected["untouched"] = ids

  const aborted = await old.pool.connect()
  await aborted.query("begin")
  await old.stream.publish("never", 1, { tx: aborted })
  await aborted.query("rollback")
  aborted.release()
  await late.query("commit")
  late.release()
  everything = [lateId, ...ids]
  for (const name of names) expected[name] = [lateId, ...expected[name]!]
  const inFlight = await old.pool.connect()
  await inFlight.query("begin")
  await old.stream.publish("in flight", 1, { tx: inFlight })
  const { url } = await createDatabase(second.url, "restored")
  fresh = open(url)
  await copyInstallation(old.pool, fresh.pool)
  await inFlight.query("rollback")
  inFlight.release()
})

describe("a schema that was copied into another cluster", () => {
  test("refuses everything that positions are needed for, and queues go on", async () => {
    const { client, stream } = fresh
    const refusals = [
      () => stream.publish("made", 1),
      () => stream.publishBatch([{ type: "made", data: 1 }]),
      () => stream.subscription("untouched").nextBatch(),
      () => stream.subscription("opened", { owner: "holder" }).nextBatch(),
      () => client.admin.forceTick("orders"),
      () => client.admin.createSubscription("orders", "new"),
      () => client.admin.reposition("orders", "done", { to: "earliest" }),
      () => fresh.value("select fault from sluice.rotate_step('orders')").then((fault) => { throw new RestoredElsewhereError(fault.stored, fault.actual) }),
      () => stream.subscription("untouched").batches()[Symbol.asyncIterator]().next(),
    ]
    for (const refused of refusals) expect(await errorOf(refused), String(refused)).toBeInstanceOf(RestoredElsewhereError)
    expect(await fresh.fault("SL017", "select sluice.insert_event('orders', 'made', '1')")).toMatchObject({ code: "other_cluster" })
    const { id, lease } = (await fresh.rows("select id, lease from sluice.batch where lease is not null order by id limit 1"))[0]!
    for (const statement of ["try_finish_batch('orders', 'opened', $1, $2, '[]')", "try_lock_batch('orders', 'opened', $1, $2)", "try_renew_batch('orders', 'opened', $1, $2, '1s')", "try_batch_events('orders', 'opened', $1, $2, 0, 10)"]) {
      expect(await fresh.value(`select fault from sluice.${statement}`, [id, lease]), statement).toMatchObject({ code: "other_cluster" })
    }
    expect(await fresh.rows("select from sluice.check_lags()")).toEqual([])
    const queue = client.queue("jobs")
    await queue.send("still")
    await queue.delete((await queue.read())!)
    expect(await client.admin.verify()).toEqual({ ok: true, differences: [] })
    expect(await client.admin.getStreamInfo("orders")).toMatchObject({ name: "orders" })
  })

  test("tells maintenance, which goes on after the repair; each subscription gets once what it had not finished, and nothing else", async () => {
    const { client, stream, pool } = fresh
    let told = 0
    const got: string[] = []
    const maintenance = client.maintenance({ interval: "10ms", onError: (error) => void (told += Number(error instanceof RestoredElsewhereError)) })
    await pool.query("update sluice.stream set ticker_max_lag = '1ms'")
    maintenance.start()
    const subscriber = client.subscriber("orders", "untouched", (event) => void got.push(event.id), { maintenance: false })
    expect(await errorOf(subscriber.start())).toBeInstanceOf(RestoredElsewhereError)
    await expect.poll(() => told, { timeout: 15_000 }).toBeGreaterThan(0)

    // Twenty at once: one of them repairs.
    const answers = await Promise.all(Array.from({ length: 20 }, () => client.admin.afterRestore()))
    const worked = answers.filter(({ streams }) => streams > 0)
    expect(worked).toEqual([{ streams: 2, events: Object.values(expected).flat().length - 2 }]) // the two retries were there
    expect(await client.admin.afterRestore()).toEqual({ streams: 0, events: 0 })
    await subscriber.start()
    await expect.poll(() => got.length, { timeout: 15_000 }).toBe(expected["untouched"]!.length)
    await subscriber.stop()
    await maintenance.stop()
    expect(got).toEqual(expected["untouched"])

    await moveClock(pool, "3 hours") // the put off one is due
    const news = await publish(fresh, 5)
    for (const name of names) expect((await rest({ stream }, name)).sort(), name).toEqual([...(name === "untouched" ? [] : expected[name]!), ...news].sort())
    expect((await client.admin.deadEvents("orders", "dead")).map(({ id }) => id)).toEqual([everything[5]])
    await moveClock(pool, "0")
    everything.push(...news)
  }, 60_000)

  test("begins anew at the earliest event, of a stream without subscriptions too, and rotates", async () => {
    const { client, stream, idle, pool } = fresh
    await client.admin.createSubscription("orders", "all", { from: "earliest" })
    await client.admin.createSubscription("idle", "all", { from: "earliest" })
    expect(await rest({ stream }, "all")).toEqual(everything)
    expect(await rest({ stream: idle }, "all")).toHaveLength(1)
    await client.admin.dropSubscription("idle", "all")
    for (let n = 1; n <= 4; n++) {
      await moveClock(pool, `${n * 2} hours`)
      await publish(fresh, 2)
      for (const name of [...names, "all"]) await rest({ stream }, name)
      await client.maintenance().run()
    }
    await moveClock(pool, "0")
    expect(await fresh.value("select count(*)::int from sluice.event_s1")).toBeLessThan(6)
  })
})
