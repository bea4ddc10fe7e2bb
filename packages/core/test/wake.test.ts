import { AbortedError, type Client, createClient, type Driver } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { setTimeout as sleep } from "node:timers/promises"
import { Client as Connection, type PoolClient } from "pg"
import { afterAll, describe, expect, test } from "vitest"
import { startChild } from "./helpers/child.ts"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction, openPool } from "./helpers/harness.ts"

const { url, client: quiet, pool, freshQueue } = await harness()

const ends: (() => Promise<void>)[] = []
afterAll(() => Promise.all(ends.map((end) => end())))

/** A client with a pool of its own: as good as another process. `listening` resolves when its LISTEN stands. */
function openClient(options: { listen?: boolean; notify?: boolean } = {}, max = 2) {
  const application = `wake.${ends.length}`
  const own = openPool(`${url}?application_name=${application}`, max)
  const driver = pgDriver(own)
  const { promise: listening, resolve } = Promise.withResolvers<void>()
  const client: Client<PoolClient> = createClient<PoolClient>(
    {
      ...driver,
      listen: (channel, onNotify, onReady) => driver.listen!(channel, onNotify, () => (onReady(), resolve())),
    },
    options,
  )
  ends.push(async () => {
    await client.close()
    await own.end()
  })
  return { client, own, listening, application }
}

const listeners = async (application: string): Promise<number> =>
  (
    await pool.query("select 1 from pg_stat_activity where application_name = $1 and query ilike 'listen%'", [
      application,
    ])
  ).rowCount!

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 10_000; !(await condition()); await sleep(10)) {
    if (Date.now() > deadline) throw new Error("waited 10 s")
  }
}

/** Waits for a message with a poll so slow that only a wake can be in time, and tells how long that took. */
async function expectWoken(
  { client, listening }: { client: Client<PoolClient>; listening?: Promise<void> },
  name: string,
  cause: () => Promise<unknown>,
): Promise<void> {
  const started = performance.now()
  const waiting = client.queue(name).readWithPoll({ wait: "60s", interval: "30s" })
  await listening
  await sleep(200) // the look that follows is over
  await cause()
  expect(await waiting).toHaveLength(1)
  expect(performance.now() - started).toBeLessThan(15_000)
}

describe("readWithPoll is woken", () => {
  test("by a send in the same process, without LISTEN", async () => {
    const { client } = openClient({ listen: false, notify: false })
    const name = await freshQueue()
    await expectWoken({ client }, name, () => client.queue(name).send(1))
    await expectWoken({ client }, name, () => client.queue(name).sendBatch([{ payload: 1 }]))
  })

  test("by a send of another client", async () => {
    const [reader, { client: sender }] = [openClient(), openClient()]
    const name = await freshQueue()
    await expectWoken(reader, name, () => sender.queue(name).send(1))
    await expectWoken(reader, name, () => sender.queue(name).sendBatch([{ payload: 1 }]))
  })

  test("by client.transaction, after its commit and not before", async () => {
    const { client } = openClient({ listen: false, notify: false })
    const name = await freshQueue()
    await expectWoken({ client }, name, async () => {
      await client.transaction(async (tx) => {
        await client.queue(name).send("a", { tx })
        await sleep(100) // a wake now would find nothing, and the next look is far away
      })
    })
  })

  test("by client.transaction of another client", async () => {
    const [reader, { client: sender }] = [openClient(), openClient()]
    const name = await freshQueue()
    await expectWoken(reader, name, () => sender.transaction((tx) => sender.queue(name).send(1, { tx })))
  })

  test("by client.wake after a commit of one's own, here and elsewhere", async () => {
    for (const same of [true, false]) {
      const reader = openClient({ listen: !same, notify: false })
      const name = await freshQueue()
      const sender = same ? reader.client : openClient({ notify: false }).client
      await expectWoken(same ? { client: reader.client } : reader, name, async () => {
        await inTransaction(pool, (tx) => quiet.queue(name).send(1, { tx }))
        await sender.wake(name)
      })
    }
  })

  test('inside the transaction of a sender by any means, where the queue says notify: "transaction"', async () => {
    const reader = openClient()
    const name = await freshQueue({ notify: "transaction" })
    await expectWoken(reader, name, () => pool.query("select sluice.send($1, '{}')", [name]))
  })

  test("when its LISTEN connection comes back after it was killed: it may have missed something", async () => {
    const reader = openClient()
    const name = await freshQueue()
    await expectWoken(reader, name, async () => {
      await quiet.queue(name).send(1) // says nothing to anybody
      const killed = await pool.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and query ilike 'listen%'",
        [reader.application],
      )
      expect(killed.rowCount).toBe(1)
    })
  })
})

describe('notify: "transaction"', () => {
  test("says so once, at commit, with the queue's name, and nothing where it is off or rolled back", async () => {
    const connection = new Connection({ connectionString: url })
    connection.on("error", () => {})
    await connection.connect()
    await connection.query("listen sluice_wake")
    const heard: string[] = []
    // "?" is what other clients prove their subscriptions by.
    connection.on("notification", ({ payload }) => payload !== "?" && heard.push(payload!))
    const [loud, silent] = [await freshQueue({ notify: "transaction" }), await freshQueue()]
    await inTransaction(pool, (tx) => quiet.queue(loud).send(1, { tx }), { end: "rollback" })
    await quiet.queue(silent).send(1)
    await inTransaction(pool, async (tx) => {
      await quiet.queue(loud).send(1, { tx })
      await quiet.queue(loud).sendBatch([{ payload: 1 }, { payload: 2 }], { tx })
      await connection.query("select 1")
      expect(heard).toEqual([])
    })
    await until(async () => (await connection.query("select 1"), heard.length > 0))
    expect(heard).toEqual([loud])
    await connection.end()
  })
})

describe("readWithPoll", () => {
  test("with wait: 0 is one plain read, and opens no connection to listen", async () => {
    let listens = 0
    const base = pgDriver(pool)
    const driver: Driver<PoolClient> = { ...base, listen: (...args) => (listens++, base.listen!(...args)) }
    const client = createClient(driver)
    const name = await freshQueue()
    expect(await client.queue(name).readWithPoll({ wait: 0 })).toEqual([])
    await quiet.queue(name).sendBatch([{ payload: 1 }, { payload: 2 }])
    expect(await client.queue(name).readWithPoll({ wait: 0, limit: 5 })).toHaveLength(2)
    expect(listens).toBe(0)
    await client.close()
  })

  test("is empty when the wait is over and not before (pgmq-sqlalchemy: empty poll lasts about max)", async () => {
    const { client } = openClient({ listen: false })
    const started = performance.now()
    expect(await client.queue(await freshQueue()).readWithPoll({ wait: "400ms" })).toEqual([])
    expect(performance.now() - started).toBeGreaterThanOrEqual(390)
  })

  test("returns as soon as one is there, up to limit, though others are delayed (pgmq-sqlalchemy: 5 delayed, 3 asked)", async () => {
    const { client } = openClient({ listen: false })
    const name = await freshQueue()
    const ids = await quiet.queue(name).sendBatch(
      Array.from({ length: 5 }, (_, n) => ({ payload: n })),
      { delay: "500ms" },
    )
    const got = await client.queue(name).readWithPoll({ wait: "20s", limit: 3, lease: "10m" })
    expect(got.map(({ id }) => id)).toEqual(ids.slice(0, 3))
    expect(got[0]!.visibleAt!.getTime() - got[0]!.enqueuedAt.getTime()).toBeGreaterThan(590_000)
  })

  test("with listen: false polls, and finds what nobody announced", async () => {
    const { client } = openClient({ listen: false })
    const name = await freshQueue()
    for (const interval of [undefined, "50ms"] as const) {
      const waiting = client.queue(name).readWithPoll({ wait: "20s", ...(interval && { interval }) })
      await sleep(100)
      await quiet.queue(name).send(1)
      expect(await waiting).toHaveLength(1)
    }
  })

  test("holds no connection while it waits: a pool of one is free for others, and ten wait on it", async () => {
    const { client, own } = openClient({ listen: false }, 1)
    const name = await freshQueue()
    const waiting = Array.from({ length: 10 }, () => client.queue(name).readWithPoll({ wait: "30s", interval: "20s" }))
    await until(async () => own.waitingCount === 0 && own.idleCount === 1)
    expect((await own.query("select 1 as free")).rows).toEqual([{ free: 1 }])
    await client.queue(name).sendBatch(Array.from({ length: 10 }, (_, n) => ({ payload: n })))
    const got = (await Promise.all(waiting)).flat()
    expect(new Set(got.map(({ id }) => id)).size).toBe(10)
  })

  test.each(["listen", "poll"])(
    "that is aborted while it waits rejects at once, and took nothing (%s)",
    async (how) => {
      const { client } = openClient({ listen: how === "listen" })
      const name = await freshQueue()
      const controller = new AbortController()
      const error = errorOf(
        client.queue(name).readWithPoll({ wait: "60s", interval: "30s", signal: controller.signal }),
      )
      await sleep(100)
      const started = performance.now()
      controller.abort("enough")
      expect(await error).toBeInstanceOf(AbortedError)
      expect((await error).cause).toBe("enough")
      expect(performance.now() - started).toBeLessThan(10_000)
      const id = await quiet.queue(name).send(1)
      expect(await quiet.queue(name).read()).toMatchObject({ id, attempt: 1 })
    },
  )

  test("takes no signal that was aborted before, and leaves no listener on one that was not", async () => {
    const { client } = openClient({ listen: false })
    const name = await freshQueue()
    expect(await errorOf(client.queue(name).readWithPoll({ signal: AbortSignal.abort("before") }))).toMatchObject({
      code: "aborted",
      cause: "before",
    })
    const { signal } = new AbortController()
    const counts = { added: 0, removed: 0 }
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
    signal.addEventListener = (...args: Parameters<typeof add>) => (counts.added++, add(...args))
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (counts.removed++, remove(...args))
    await client.queue(name).metrics() // connects
    await client.queue(name).readWithPoll({ wait: "1s", interval: "50ms", signal })
    expect(counts.added).toBeGreaterThan(0)
    expect(counts.removed).toBe(counts.added)
  })

  test("still works where LISTEN fails", async () => {
    const base = pgDriver(pool)
    const client = createClient({
      ...base,
      listen: async () => Promise.reject(new Error("no listening here")),
    } as Driver<PoolClient>)
    const name = await freshQueue()
    const waiting = client.queue(name).readWithPoll({ wait: "20s" })
    await sleep(50)
    await quiet.queue(name).send(1)
    expect(await waiting).toHaveLength(1)
    await client.close()
  })
})

describe("close", () => {
  test("leaves no handle: a process that polled with LISTEN ends by itself", async () => {
    const child = startChild("poll-child.ts", url, await freshQueue())
    expect(await child.next()).toEqual([])
    expect(await child.next()).toMatchObject([{ payload: "more" }])
    expect(await child.next()).toBe("closed")
    expect(await child.ended).toBe(0)
  })

  test("ends the LISTEN connection and leaves a pool that was handed in open", async () => {
    const { client, own, listening, application } = openClient({}, 1)
    const waiting = client.queue(await freshQueue()).readWithPoll({ wait: "1s" })
    await listening
    expect(await listeners(application)).toBe(1)
    expect(await waiting).toEqual([])
    await client.close()
    await until(async () => (await listeners(application)) === 0)
    expect((await own.query("select 1 as alive")).rows).toEqual([{ alive: 1 }])
  })
})

describe("a send in the transaction of a handler", () => {
  test.each([1, 5])("wakes who waits when that has committed, in a call of its own or in a savepoint among %i messages", async (batch) => {
    const [first, second] = [await freshQueue(), await freshQueue()]
    const reader = openClient()
    const sender = openClient({}, 4)
    const next = sender.client.queue(second)
    await quiet.queue(first).sendBatch([{ payload: 1 }, { payload: 2 }])
    await expectWoken(reader, second, () =>
      sender.client.worker([sender.client.queue(first).handler((_, { tx }) => next.send("next", { tx }), { transactional: true, batch })], { maintenance: false }).drain())
  })
})
