import { afterAll, describe, expect, test } from "vitest"
import { driverNames } from "./helpers/drivers.ts"
import { createEffectTable, effectsOf, openEffects, tellingOf } from "./helpers/effects.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { openLogin } from "./helpers/logins.ts"

const { client: other, pool, url, freshQueue } = await harness()
await createEffectTable(pool)
const database = new URL(url).pathname.slice(1)

describe.each(["serializable", "repeatable read"])("transactions whose default is %s", (level) => {
  describe.each(driverNames)("over %s", (driver) => {
    const opened = openLogin(pool, url, `${database}_${level.slice(0, 4)}_${driver.replaceAll(/\W/g, "")}`, {
      schema: "sluice",
      attributes: "superuser",
      settings: { default_transaction_isolation: `'${level}'` },
    }).then((login) => openEffects(driver, login.url))
    afterAll(async () => (await opened).end())

    test("a failure to serialize is a failed attempt: no effects, and the next one commits", async () => {
      const { client, driver: raw, effect } = await opened
      await pool.query("drop table if exists skew; create table skew (id int primary key, n int not null); insert into skew values (1, 0), (2, 0)")
      const name = await freshQueue({ backoff: null })
      await client.queue(name).sendBatch([{ payload: 1 }, { payload: 2 }])
      const worker = client.worker([client.queue<number>(name).handler(async (message, { tx }) => {
        const run = (text: string): Promise<unknown[]> => raw.within(tx).query(text)
        await effect(message, tx)
        await run("select n from skew where id = 1")
        if (message.attempt === 1) {
          const text = level === "serializable" ? "select n from skew where id = 2; update skew set n = n + 1 where id = 1" : "update skew set n = n + 1 where id = 2"
          await inTransaction(pool, (tx2) => tx2.query(text), { begin: `begin isolation level ${level}` })
        }
        await run("update skew set n = n + 1 where id = 2")
      }, { transactional: true })], { maintenance: false, concurrency: 1 })
      const told = tellingOf(worker)
      const errors: unknown[] = []
      worker.on("retry", ({ error }) => errors.push(error))
      await worker.drain()
      expect(told).toEqual(["retry 1", "retry 2", "done 1", "done 2"])
      expect(errors.map((error) => (error as Error).message)).toEqual([expect.anything(), expect.anything()])
      expect(await effectsOf(pool, name)).toEqual([1, 2])
      expect((await other.admin.metrics(name)).length).toBe(0)
    })
  })
})
