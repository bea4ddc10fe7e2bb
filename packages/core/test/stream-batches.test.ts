import { type Batch, createClient, StaleBatchError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { eventOf, numbersOf, openTransaction, publish, range, streamHarness, take, takeAll, type TestBatch, type TestStream } from "./helpers/streams.ts"
import { withBroken } from "./helpers/with-broken.ts"

const { client, pool, url, freshStream, subscribe } = await streamHarness()
beforeEach(() => moveClock(pool, "0"))

/** A stream with a batch of three events, held by "a"; a chunk of 1 makes reading it ask again. */
async function held() {
  const stream = await freshStream()
  const sub = await subscribe(stream)
  await publish(stream, [1, 2, 3])
  return { stream, sub, other: stream.subscription("sub", { owner: "b" }), batch: (await sub.nextBatch({ chunk: 1 }))! }
}

const rowsOf = async (stream: TestStream): Promise<unknown> =>
  (await pool.query(`select (select jsonb_agg(e order by e.batch) from sluice.batch_end e where e.subscription = s.id), (select jsonb_agg(l) from sluice.batch_lease l where l.subscription = s.id),
      (select jsonb_agg(r) from sluice.event_retry r where r.subscription = s.id) from sluice.subscription s join sluice.queue q on q.id = s.stream where q.name = $1`, [stream.name])).rows

/** Every way to go on with a batch is refused, and changes nothing. */
async function expectStale(stream: TestStream, batch: TestBatch): Promise<void> {
  const before = await rowsOf(stream)
  const retried = async (): Promise<unknown> => {
    for await (const event of batch.events()) {
      batch.retry(event)
      break
    }
    return batch.finish()
  }
  const ways: Record<string, () => Promise<unknown>> = { retried, finish: () => batch.finish(), renew: () => batch.renew(), release: () => batch.release(), read: () => batch.list() }
  for (const [name, way] of Object.entries(ways)) {
    const error = await errorOf<StaleBatchError>(way)
    expect(error, name).toBeInstanceOf(StaleBatchError)
    expect(error, name).toMatchObject({ stream: stream.name, subscription: "sub", batch: batch.id })
  }
  expect(await rowsOf(stream)).toEqual(before)
}

describe("nextBatch", () => {
  test("gives the same batch until it is finished, and null where there is nothing (pgq_core; unlike PgQ no empty batches, and no tick is waited for)", async () => {
    const { sub, batch, stream } = await held()
    await publish(stream, [4])
    const again = (await sub.nextBatch())!
    expect(again).toMatchObject({ id: batch.id, count: 3, attempt: 1 })
    expect(await numbersOf(again)).toEqual([1, 2, 3])
    await again.finish()
    expect(await take(sub)).toEqual([4])
    expect(await sub.nextBatch()).toBeNull()
  })

  test("reads events with and without key, headers and extras, in order of id, as often as wished", async () => {
    const stream = await freshStream()
    const sub = await subscribe(stream)
    const id = await stream.publish("full", { a: [1] }, { key: "k", headers: { h: 1 }, extra: ["x", null, "y"] })
    await stream.publish("bare", null)
    const batch = (await sub.nextBatch({ chunk: 1 }))!
    const events = await batch.list()
    expect(events).toMatchObject([
      { id, stream: stream.name, type: "full", data: { a: [1] }, key: "k", headers: { h: 1 }, extra: ["x", null, "y", null], attempt: 1 },
      { type: "bare", data: null, key: null, headers: {}, extra: [null, null, null, null], attempt: 1 },
    ])
    expect(await batch.list()).toEqual(events)
    expect(await (await sub.nextBatch())!.list()).toEqual(events)
  })

  test("leaves a batch to its owner for its lease, then gives its events to another, under a new id", async () => {
    const { stream, sub, other, batch } = await held()
    expect(await other.nextBatch()).toBeNull()
    await moveClock(pool, "29 seconds")
    expect(await other.nextBatch()).toBeNull()
    await moveClock(pool, "31 seconds")
    const second = (await other.nextBatch({ chunk: 1 }))!
    expect(second).toMatchObject({ count: 3, attempt: 2 })
    expect(BigInt(second.id)).toBeGreaterThan(BigInt(batch.id))
    expect(await second.list()).toMatchObject([{ data: 1, attempt: 2 }, { data: 2, attempt: 2 }, { data: 3, attempt: 2 }])
    await expectStale(stream, batch)
    expect(await sub.nextBatch()).toBeNull()
    await second.finish()
    expect(await sub.nextBatch()).toBeNull()
    await expectStale(stream, second)
  })

  test("keeps a lease as it is for the owner who asks again; renew renews it", async () => {
    const { sub, other, batch } = await held()
    await moveClock(pool, "29 seconds")
    expect(await sub.nextBatch()).toMatchObject({ id: batch.id, attempt: 1 })
    await batch.renew()
    await moveClock(pool, "58 seconds")
    expect(await sub.nextBatch()).toMatchObject({ id: batch.id, attempt: 1 })
    expect(await other.nextBatch()).toBeNull()
    await moveClock(pool, "60 seconds")
    expect(await other.nextBatch()).toMatchObject({ attempt: 2 })
  })

  test("counts one more delivery to an owner whose lease was over: he may have died of it", async () => {
    const { stream, sub, other, batch } = await held()
    await moveClock(pool, "31 seconds")
    const second = (await sub.nextBatch())!
    expect(second).toMatchObject({ count: 3, attempt: 2 })
    await expectStale(stream, batch)
    expect(await other.nextBatch()).toBeNull()
    await second.finish()
  })

  test("works over connections whose default is REPEATABLE READ; in a transaction of that level the SQL function says that it needs READ COMMITTED", async () => {
    const stream = await freshStream()
    await subscribe(stream)
    await publish(stream, range(1, 3))
    const strict = createClient(pgDriver(`${url}?options=${encodeURIComponent("-c default_transaction_isolation=repeatable\\ read")}`), { listen: false, notify: false })
    const batch = (await strict.stream(stream.name).subscription("sub").nextBatch({ chunk: 1 }))!
    expect(await batch.list()).toHaveLength(3)
    await batch.renew()
    await batch.finish()
    await strict.close()
    await publish(stream, [4])
    const error = await errorOf(inTransaction(pool, (tx) => tx.query("select * from sluice.next_batch($1, 'sub', 'a')", [stream.name]), { begin: "begin isolation level repeatable read" }))
    expect(error).toMatchObject({ code: "SL005" })
  })
})

describe("finish", () => {
  test("twice is refused the second time (PgQ: a warning and 0)", async () => {
    const { stream, batch } = await held()
    await batch.finish()
    await expectStale(stream, batch)
  })

  test("of another's batch by its id is refused", async () => {
    const { batch } = await held()
    const { sub } = await held()
    const wrong = { ...(await sub.nextBatch())!, id: batch.id } as Batch
    expect(wrong.id).toBe(batch.id)
    const finish = (lease: string) => pool.query("select fault from sluice.try_finish_batch($1, 'sub', $2, $3, '[]')", [batch.stream, batch.id, lease])
    expect((await finish("1")).rows[0].fault).toMatchObject({ code: "stale_batch" })
    await batch.finish()
  })

  test("of an expired batch that nobody has taken counts", async () => {
    const { sub, batch } = await held()
    await moveClock(pool, "1 hour")
    await batch.finish()
    expect(await sub.nextBatch()).toBeNull()
  })

  test.each(["read committed", "repeatable read", "serializable"])("with { tx } commits and rolls back with it, in %s, also when the lease was renewed meanwhile", async (level) => {
    const { sub, other, batch } = await held()
    const begin = `begin isolation level ${level}`
    const undone = await openTransaction(pool, begin)
    await batch.finish({ tx: undone.tx })
    await undone.end("rollback")
    expect(await sub.nextBatch()).toMatchObject({ id: batch.id })

    const done = await openTransaction(pool, begin)
    await done.tx.query("select from pg_class limit 1")
    await moveClock(pool, "20 seconds")
    await batch.renew()
    await batch.finish({ tx: done.tx })
    // Nobody takes what is just being finished, its lease over or not.
    await moveClock(pool, "10 minutes")
    expect(await other.nextBatch()).toBeNull()
    await done.end()
    expect(await other.nextBatch()).toBeNull()
    expect(await errorOf(batch.finish())).toBeInstanceOf(StaleBatchError)
  })

  test.each(["repeatable read", "serializable"])("in a transaction of %s that began before another took it over fails, and its effects with it", async (level) => {
    const { other, batch } = await held()
    const late = await openTransaction(pool, `begin isolation level ${level}`)
    await late.tx.query("select from pg_class limit 1")
    await moveClock(pool, "31 seconds")
    const second = (await other.nextBatch())!
    // Under its snapshot the batch is open: that it is not shows as a failure to serialize.
    expect(await errorOf(batch.finish({ tx: late.tx }))).toMatchObject({ code: "40001" })
    await late.end("rollback")
    expect(await errorOf(batch.finish())).toBeInstanceOf(StaleBatchError)
    await second.finish()
  })

  test("and takeover at once: one of them is first", async () => {
    for (const order of ["finish first", "take first"]) {
      const { other, batch, stream } = await held()
      await moveClock(pool, "31 seconds")
      const taken = (): Promise<number[] | null> => other.nextBatch().then(numbersOf)
      const [finished, second] = order === "finish first" ? await Promise.allSettled([batch.finish(), taken()]) : await Promise.allSettled([taken(), batch.finish()]).then(([a, b]) => [b, a] as const)
      expect([finished.status, (second as PromiseFulfilledResult<unknown>).value]).toEqual(finished.status === "fulfilled" ? ["fulfilled", null] : ["rejected", [1, 2, 3]])
      expect((await pool.query("select from sluice.batch_end e join sluice.subscription s on s.id = e.subscription join sluice.queue q on q.id = s.stream where q.name = $1", [stream.name])).rowCount).toBe(1)
      await moveClock(pool, "0")
    }
  })

  test("refuses a stale one because of what it looks at", async () => {
    const { stream, batch } = await held()
    expect(await errorOf(pool.query("select sluice.finish_batch($1, 'sub', $2, 1)", [stream.name, batch.id]))).toMatchObject({ code: "SL015" })
    await withBroken(pool, "held_batch", "and b.lease = p_lease", "", async () => {
      await pool.query("select sluice.finish_batch($1, 'sub', $2, 1)", [stream.name, batch.id])
    })
    const next = await held()
    await moveClock(pool, "31 seconds")
    await next.other.nextBatch()
    await expectStale(next.stream, next.batch)
    await withBroken(pool, "held_batch", /and not exists \(select from batch_end e[^)]*\)/g, "", () => expect(expectStale(next.stream, next.batch)).rejects.toThrow())
  })
})

describe("release", () => {
  test("gives it back at once, the attempt not charged, and the old holder is refused", async () => {
    const { stream, other, batch } = await held()
    await batch.release()
    await expectStale(stream, batch)
    const second = (await other.nextBatch())!
    expect(second).toMatchObject({ attempt: 1, count: 3 })
    expect(second.id).not.toBe(batch.id)
    await expectStale(stream, batch)
    await second.finish()
  })

  test("to nobody but himself", async () => {
    const { sub, batch } = await held()
    await batch.release()
    expect(await sub.nextBatch()).toMatchObject({ attempt: 1 })
    expect(await takeAll(sub)).toEqual([[1, 2, 3]])
  })
})

test("retry and deadLetter take only events that were read from the batch (pgq_core: retry of a foreign event is an error)", async () => {
  const { batch, stream, sub } = await held()
  const event = await eventOf(batch, 1)
  await batch.finish()
  const [id] = await publish(stream, range(4, 5))
  const next = (await sub.nextBatch())!
  await next.list()
  expect(await errorOf(async () => next.retry(event))).toMatchObject({ code: "invalid_option" })
  const refused = await errorOf(pool.query("select sluice.finish_batch($1, 'sub', $2, (select lease from sluice.batch where id = $2), $3)", [stream.name, next.id, JSON.stringify([{ id: event.id }])]))
  expect(refused).toMatchObject({ code: "22023" })
  next.retry({ id: id! }, { delay: 0 })
  await next.finish()
  expect(await take(sub)).toEqual([4])
  await client.admin.dropStream(stream.name, { force: true })
})
