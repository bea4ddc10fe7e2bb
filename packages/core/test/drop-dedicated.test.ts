import { QueueNotFoundError } from "@sluice/core"
import type { PoolClient } from "pg"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"

const { client, pool, freshQueue } = await harness()
const message = { id: "1", lease: "1" }
type Joined = { tx?: PoolClient }

/** Every call that looks up a queue and then goes to its tables. */
const calls: Record<string, (name: string, joined: Joined) => Promise<unknown>> = {
  send: (name, joined) => client.queue(name).send(1, joined),
  sendBatch: (name, joined) => client.queue(name).sendBatch([{ payload: 1 }], joined),
  delete: (name, joined) => client.queue(name).delete(message, joined),
  archive: (name, joined) => client.queue(name).archive(message, joined),
  release: (name, joined) => client.queue(name).release(message, joined),
  retry: (name, joined) => client.queue(name).retry(message, joined),
  setVt: (name, joined) => client.queue(name).setVt(message, "1s", joined),
  purge: (name, joined) => client.queue(name).purge(joined),
  "admin.messages.delete": (name, joined) => client.admin.messages.delete(name, "1", joined),
  "admin.messages.archive": (name, joined) => client.admin.messages.archive(name, "1", joined),
  "admin.messages.setVt": (name, joined) => client.admin.messages.setVt(name, "1", "1s", joined),
}
/** Those that look at all queues, or answer with nothing. */
const looks: typeof calls = {
  metrics: (name, joined) => client.queue(name).metrics(joined),
  metricsAll: (_name, joined) => client.admin.metricsAll(joined),
  "admin.messages.list": (name, joined) => client.admin.messages.list({ queue: name, ...joined }),
  "admin.messages.count": (_name, joined) => client.admin.messages.count(joined),
  "admin.messages.get": (_name, joined) => client.admin.messages.get("1", joined),
}
const reads: typeof calls = {
  read: (name, joined) => client.queue(name).read(joined),
  pop: (name, joined) => client.queue(name).pop(joined),
}

/** A queue whose tables every connection of the pool has seen. */
async function known(): Promise<string> {
  const name = await freshQueue({ storage: "dedicated" })
  await Promise.all(Array.from({ length: 10 }, () => Promise.all([client.queue(name).metrics(), client.queue(name).read(), client.queue(name).purge(), sleep(5)])))
  return name
}

const notFoundOr = (allowed: boolean) => (error: unknown) => {
  if (!(error instanceof QueueNotFoundError) && !allowed) throw error
}

describe.each(Object.entries({ ...calls, ...looks, ...reads }))("%s", (call, run) => {
  test("that waited for the drop of a dedicated queue knows no such queue, and meets no error of the server", async () => {
    const name = await known()
    let waiting: Promise<unknown> | undefined
    await inTransaction(pool, async (tx) => {
      await client.admin.dropQueue(name, { tx })
      waiting = run(name, {}).catch(notFoundOr(false))
      await sleep(60)
    })
    await waiting
  })

  test.skipIf(call in reads)("under a snapshot older than the drop the same, and the transaction stays usable", async () => {
    const name = await known()
    await inTransaction(pool, async (tx) => {
      await tx.query("select from sluice.queue limit 1")
      await client.admin.dropQueue(name)
      if (call in looks) await run(name, { tx })
      else expect(await errorOf(run(name, { tx }))).toBeInstanceOf(QueueNotFoundError)
      await tx.query("select 1")
    }, { begin: "begin isolation level repeatable read" })
  })
})

test("looks at every queue never fail while dedicated queues come and go", async () => {
  let running = true
  const looking = Promise.all(Array.from({ length: 5 }, async () => {
    while (running) for (const run of Object.values(looks)) await run("nowhere", {}).catch(notFoundOr(false))
  }))
  for (let round = 0; round < 25; round++) {
    const names = await Promise.all([1, 2, 3].map(() => freshQueue({ storage: round % 2 ? "dedicated" : "unlogged" })))
    await Promise.all(names.map((name) => client.admin.dropQueue(name)))
  }
  running = false
  await looking
})

test("a key that a send took which the drop waited for is gone with it, though the archive keeps the storage", async () => {
  const name = await freshQueue({ partition: { by: "time", interval: "1h", retention: "1d", archive: true } })
  let dropped: Promise<unknown> | undefined
  await inTransaction(pool, async (tx) => {
    await client.queue(name).send(1, { key: "k", tx })
    dropped = client.admin.dropQueue(name, { force: true, keepArchive: true })
    await expect.poll(async () => (await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount).toBe(1)
  })
  await dropped
  // Were one left, maintenance would look for its message in a table that is not there.
  await client.maintenance().run()
  expect((await pool.query("select from sluice.unique_key")).rowCount).toBe(0)
})
