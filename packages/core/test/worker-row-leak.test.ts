import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { expect, test } from "vitest"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { url, client, pool, freshQueue } = await harness()
const rows = async (): Promise<unknown[]> => (await pool.query("select name, state from sluice.worker order by name")).rows

test("pgqrs's worker-row leak: 1000 sends, reads and admin calls of many clients leave no row of a worker", async () => {
  const name = await freshQueue()
  for (let n = 0; n < 10; n++) {
    const own = createClient(pgDriver({ connectionString: url, max: 2 }), { listen: false, notify: false })
    const queue = own.queue(name)
    for (let i = 0; i < 20; i++) {
      await queue.send(i)
      await queue.sendBatch([{ payload: i }])
      await queue.delete((await queue.read())!)
      await queue.pop()
      await own.admin.metrics(name)
    }
    await queue.readWithPoll({ wait: "1ms" })
    await own.maintenance().run()
    await own.close()
  }
  expect(await rows()).toEqual([])
})

test("pgqrs's worker-row leak: a worker started and stopped 20 times under one name is one row, which does not grow", async () => {
  const name = await freshQueue()
  for (let n = 0; n < 20; n++) {
    const worker = client.worker([client.queue(name).handler(() => {})], { name: "steady", maintenance: false })
    await worker.start()
    await worker.stop()
    await (await client.register({ name: "reader", queues: [name] })).stop()
  }
  expect(await rows()).toEqual([{ name: "reader", state: "stopped" }, { name: "steady", state: "stopped" }])
  await client.admin.workers.purge({ olderThan: 0 })
})

test("pgqrs's worker-row leak: workers of random names are purged by maintenance in their time, and by nothing before", async () => {
  const name = await freshQueue()
  for (let n = 0; n < 5; n++) await client.worker([client.queue(name).handler(() => {})], { maintenance: false }).drain()
  expect(await rows()).toHaveLength(5)
  await moveClock(pool, "50 minutes")
  await client.maintenance().run()
  expect(await rows()).toHaveLength(5)
  await moveClock(pool, "70 minutes")
  await client.maintenance().run()
  expect(await rows()).toEqual([])
})

test("pgqrs's queue that cannot be dropped for its workers' rows: here it can", async () => {
  await moveClock(pool, "0")
  const name = await freshQueue()
  const registration = await client.register({ name: "reader", queues: [name] })
  expect(await client.admin.dropQueue(name)).toBe(true)
  expect(await registration.beat()).toBe("running")
  await registration.stop()
})
