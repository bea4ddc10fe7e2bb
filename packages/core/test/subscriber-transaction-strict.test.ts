import { createClient, outcome } from "@sluice/core"
import { drizzleDriver } from "@sluice/drizzle"
import { drizzle as overPg } from "drizzle-orm/node-postgres"
import { sql } from "drizzle-orm"
import { afterAll, describe, expect, test } from "vitest"
import { driverNames } from "./helpers/drivers.ts"
import { createEffectTable, effectsOf, openEffects } from "./helpers/effects.ts"
import { inTransaction, openPool } from "./helpers/harness.ts"
import { openLogin } from "./helpers/logins.ts"
import { subscriberHarness, watchSubscriber } from "./helpers/subscriber-harness.ts"
import { until } from "./helpers/until.ts"

const { client: other, pool, url, stream } = await subscriberHarness()
await createEffectTable(pool)
const database = new URL(url).pathname.slice(1)

async function filled(...data: readonly unknown[]): Promise<string> {
  const { name } = await stream({ backoff: null, maxAttempts: 3 })
  await other.stream(name).publishBatch(data.map((one) => ({ type: "n", data: one })))
  return name
}

describe.each(["serializable", "repeatable read"])("sessions whose default is %s, with timeouts", (level) => {
  describe.each(driverNames)("over %s", (driver) => {
    const opened = openLogin(pool, url, `${database.slice(-20)}_${level.slice(0, 4)}_${driverNames.indexOf(driver)}`, {
      schema: "sluice",
      attributes: "superuser",
      settings: { default_transaction_isolation: `'${level}'`, statement_timeout: "'5s'", lock_timeout: "'2s'", idle_in_transaction_session_timeout: "'5s'" },
    }).then((login) => openEffects(driver, login.url))
    afterAll(async () => (await opened).end())

    test("a failure to serialize is nobody's fault the first time; the batch is handled again, uncharged", async () => {
      const { client, driver: raw, effect } = await opened
      await pool.query("drop table if exists skew; create table skew (id int primary key, n int not null); insert into skew values (1, 0), (2, 0)")
      const name = await filled(1, 2)
      let rounds = 0
      const attempts = new Set<number>()
      const { subscriber, said, errors } = watchSubscriber(client.subscriber(name, "s", async (event, { tx }) => {
        attempts.add(event.attempt)
        const run = (text: string): Promise<unknown[]> => raw.within(tx).query(text)
        await effect({ queue: name, payload: event.data }, tx)
        if (event.data !== 1) return
        await run("select n from skew where id = 1")
        if (++rounds === 1) {
          const text = level === "serializable" ? "select n from skew where id = 2; update skew set n = n + 1 where id = 1" : "update skew set n = n + 1 where id = 2"
          await inTransaction(pool, (tx2) => tx2.query(text), { begin: `begin isolation level ${level}` })
        }
        await run("update skew set n = n + 1 where id = 2")
      }, { transactional: true, maintenance: false, pollInterval: "20ms" }))
      await subscriber.drain()
      expect(said().filter((one) => one.startsWith("done")).toSorted()).toEqual(["done 1", "done 2"])
      expect(await effectsOf(pool, name)).toEqual([1, 2])
      // Where the statement failed, that was its event's; where the commit did, all were handled again.
      if (errors().length > 0) expect([rounds, [...attempts]]).toEqual([2, [1]])
      else expect(said()).toContain("retry 1")
    })

    test("members work off a stream, each event once", async () => {
      const { client, effect } = await opened
      const name = await filled(...Array.from({ length: 30 }, (_, n) => n))
      const { subscriber, said } = watchSubscriber(client.subscriber(name, "s", (event, { tx }) => effect({ queue: name, payload: event.data }, tx), { transactional: true, members: 2, maxEvents: 4, chunk: 2, maintenance: false, pollInterval: "20ms" }))
      await subscriber.drain()
      expect(said().filter((one) => one.startsWith("done"))).toHaveLength(30)
      expect(await effectsOf(pool, name)).toEqual(Array.from({ length: 30 }, (_, n) => n))
    })
  })
})

describe.each(driverNames)("over %s", (driver) => {
  test.each([1, 2, 4])("a pool of %i is enough for as many members as it may have, with commits that fail", async (max) => {
    const name = await filled(1, 2, 3, 4, 5, 6)
    const { client, driver: raw, effect, end } = openEffects(driver, url, max)
    await pool.query("create table if not exists parent (id int primary key); create table if not exists child (id int references parent deferrable initially deferred)")
    const { subscriber, said } = watchSubscriber(client.subscriber(name, "s", async (event, { tx }) => {
      await effect({ queue: name, payload: event.data }, tx)
      if (event.data === 2) await raw.within(tx).query("insert into child values (404)")
    }, { transactional: true, members: Math.max(1, max - 1), maxEvents: 2, maintenance: false, pollInterval: "20ms", lease: "600ms" }))
    await subscriber.drain()
    expect(said().filter((one) => !one.startsWith("retry")).toSorted()).toEqual(["dead 2", "done 1", "done 3", "done 4", "done 5", "done 6"])
    expect(await effectsOf(pool, name)).toEqual([1, 3, 4, 5, 6])
    await end()
  })

  test("sends, publishes and client.once in a handler's transaction take effect with it, and wake readers after the commit", async () => {
    const name = await filled(1, 2)
    const next = await filled()
    const { name: queue } = await other.admin.createQueue(`after.${name}`)
    const { client, end } = openEffects(driver, url, 4)
    const waits = client.queue(queue).readWithPoll({ wait: "15s", interval: "15s" })
    const events: unknown[] = []
    const reader = client.subscriber(next, "s", ({ data }) => events.push(data), { maintenance: false, pollInterval: "1h" })
    let looks = 0
    reader.on("idle", () => looks++)
    await reader.start()
    // Its pause is longer than the test by then.
    for (let n = 0; looks < 16; n = looks) {
      await client.wake(next)
      await until(() => looks > n)
    }
    const ran: boolean[] = []
    const { subscriber, said } = watchSubscriber(client.subscriber(name, "s", async (event, { tx }) => {
      const once = await client.once(tx, event.idempotencyKey, async (inner) => {
        await client.queue(queue).send(event.data, { tx: inner })
        await client.stream(next).publish("n", event.data, { tx: inner })
      })
      ran.push(once.ran)
      if (event.data === 1 && event.attempt === 1) throw new Error("undone")
      if (event.data === 2) return outcome.done()
      return undefined
    }, { transactional: true, maintenance: false, pollInterval: "20ms" }))
    await subscriber.drain()
    expect(said()).toEqual(["retry 1", "done 2", "done 1"])
    expect(ran).toEqual([true, true, true])
    expect((await waits).map(({ payload }) => payload)).toEqual([2])
    await until(() => events.length === 2)
    expect(events).toEqual([2, 1])
    await reader.stop()
    await end()
  })
})

test("a nested transaction of Drizzle's in a handler is undone by itself, or with its event", async () => {
  const name = await filled(1, 2, 3)
  const next = await filled()
  const own = openPool(url, 2)
  const client = createClient(drizzleDriver(overPg(own)), { listen: false, notify: false })
  const { subscriber, said } = watchSubscriber(client.subscriber(name, "s", async ({ data }, { tx }) => {
    await tx.execute(sql`insert into effect (queue, n) values (${name}, ${Number(data)})`)
    const nested = tx.transaction(async (inner) => {
      await inner.execute(sql`insert into effect (queue, n) values (${name}, ${Number(data) * 10})`)
      await client.stream(next).publish("n", data, { tx: inner })
      if (data !== 1) throw new Error("nested")
    })
    await (data === 2 ? nested.catch(() => {}) : nested)
  }, { transactional: true, maintenance: false, pollInterval: "20ms" }))
  await subscriber.drain()
  expect(said()).toEqual(["done 1", "done 2", "retry 3", "retry 3", "dead 3"])
  expect(await effectsOf(pool, name)).toEqual([1, 2, 10])
  const published = await (await other.stream(next).subscription("s").nextBatch())!.list()
  expect(published.map(({ data }) => data)).toEqual([1])
  await client.close()
  await own.end()
})
