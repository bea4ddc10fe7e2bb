import { StaleBatchError } from "@sluice/core"
import { beforeEach, describe, expect, test } from "vitest"
import { startChild } from "./helpers/child.ts"
import { errorOf } from "./helpers/error-of.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { eventOf, numbersOf, openTransaction, publish, range, streamHarness, takeAll, type TestStream } from "./helpers/streams.ts"
import { until } from "./helpers/until.ts"
import { withBroken } from "./helpers/with-broken.ts"

const { client, pool, url, freshStream, subscribe } = await streamHarness()
await pool.query("create table go (owner text); create table effect (owner text, n int)")
beforeEach(async () => {
  await moveClock(pool, "0")
  await pool.query("truncate go; truncate effect")
})

async function shared(count: number) {
  const stream = await freshStream()
  await subscribe(stream)
  await publish(stream, range(1, count))
  return { stream, member: (owner: string) => stream.subscription("sub", { owner, member: true }) }
}

describe("members of a subscription", () => {
  test("get different batches at once, each its own again until it is finished (coop: two members, re-ask)", async () => {
    const { member, stream } = await shared(6)
    const [a, b] = [(await member("a").nextBatch({ maxEvents: 2 }))!, (await member("b").nextBatch({ maxEvents: 2 }))!]
    expect([await numbersOf(a), await numbersOf(b)]).toEqual([[1, 2], [3, 4]])
    expect(await member("a").nextBatch({ maxEvents: 2 })).toMatchObject({ id: a.id })
    expect(await member("b").nextBatch({ maxEvents: 2 })).toMatchObject({ id: b.id })
    await b.finish()
    expect(await numbersOf(await member("b").nextBatch({ maxEvents: 2 }))).toEqual([5, 6])
    await publish(stream, [7])
    expect(await numbersOf(await member("c").nextBatch())).toEqual([7])
    expect(await member("d").nextBatch()).toBeNull()
    expect((await client.admin.getSubscriptionInfo(stream.name, "sub")).batches.map(({ owner }) => owner)).toEqual(["a", "b", "c"])
  })

  test("have names of their own unless they are given any, and need no registration (coop: auto-create)", async () => {
    const { stream } = await shared(4)
    const [a, b] = range(1, 2).map(() => stream.subscription("sub", { member: true }))
    expect(a!.owner).not.toBe(b!.owner)
    expect([await numbersOf(await a!.nextBatch({ maxEvents: 2 })), await numbersOf(await b!.nextBatch({ maxEvents: 2 }))]).toEqual([[1, 2], [3, 4]])
    const [c, d] = range(1, 2).map(() => stream.subscription("sub"))
    expect(c!.owner).toBe(d!.owner)
  })

  test("that are dead have their batches taken over after the lease, under new ids (coop: takeover only after dead interval)", async () => {
    const { member } = await shared(4)
    const dead = (await member("dead").nextBatch({ maxEvents: 2 }))!
    const live = (await member("live").nextBatch({ maxEvents: 2 }))!
    expect(await member("new").nextBatch()).toBeNull()
    await moveClock(pool, "20 seconds")
    await live.renew()
    await moveClock(pool, "40 seconds")
    const taken = (await member("new").nextBatch())!
    expect(taken).toMatchObject({ attempt: 2 })
    expect(await numbersOf(taken)).toEqual([1, 2])
    expect(await errorOf(dead.finish())).toBeInstanceOf(StaleBatchError)
    await Promise.all([taken.finish(), live.finish()])
    expect(await takeAll(member("dead"))).toEqual([])
  })

  test("share retries and what was released, each event with one of them", async () => {
    const { member } = await shared(4)
    const a = (await member("a").nextBatch())!
    for (const n of range(1, 4)) a.retry(await eventOf(a, n), { delay: 0 })
    await a.finish()
    const b = (await member("b").nextBatch({ maxEvents: 3 }))!
    const c = (await member("c").nextBatch({ maxEvents: 3 }))!
    expect([await numbersOf(b), await numbersOf(c)]).toEqual([[1, 2, 3], [4]])
    await b.release()
    expect(await numbersOf(await member("d").nextBatch())).toEqual([1, 2, 3])
  })

  test("and a reader for himself alone wait for each other", async () => {
    const { member, stream } = await shared(4)
    const alone = stream.subscription("sub", { owner: "alone" })
    const a = (await member("a").nextBatch({ maxEvents: 2 }))!
    const b = (await member("b").nextBatch({ maxEvents: 2 }))!
    expect(await alone.nextBatch()).toBeNull()
    await moveClock(pool, "20 seconds")
    await b.renew()
    await moveClock(pool, "40 seconds")
    // a's lease is over, but b still holds one.
    expect(await alone.nextBatch()).toBeNull()
    await b.finish()
    const taken = (await alone.nextBatch())!
    expect(await numbersOf(taken)).toEqual(await numbersOf(a))
    expect(await member("b").nextBatch()).toBeNull()
    await taken.finish()
    expect(await takeAll(member("b"))).toEqual([])
  })

  test("a subscription that is dropped is gone for all of them (coop: unregister main removes all)", async () => {
    const { member, stream } = await shared(4)
    const batches = [(await member("a").nextBatch({ maxEvents: 2 }))!, (await member("b").nextBatch({ maxEvents: 2 }))!]
    expect(await client.admin.dropSubscription(stream.name, "sub")).toBe(true)
    for (const batch of batches) expect(await errorOf(batch.finish())).toMatchObject({ code: "subscription_not_found" })
    expect((await pool.query("select from sluice.batch where id = any ($1)", [batches.map(({ id }) => id)])).rowCount).toBe(0)
  })

  test("join and leave at random: every event is finished once", async () => {
    const { member, stream } = await shared(0)
    const seen: number[] = []
    const publishing = (async () => {
      for (let n = 0; n < 300; n += 3) await publish(stream, [n, n + 1, n + 2])
    })()
    const reader = async (owner: number): Promise<void> => {
      for (let turn = 0; seen.length < 300; turn++) {
        const batch = await member(`${owner}.${turn >> 2}`).nextBatch({ maxEvents: 7 })
        const numbers = await numbersOf(batch)
        if (turn % 5 === owner) await batch?.release()
        else await batch?.finish().then(() => seen.push(...numbers!))
      }
    }
    await Promise.all([publishing, ...range(0, 3).map(reader)])
    expect(seen.toSorted((a, b) => a - b)).toEqual(range(0, 299))
  })

  test("that ask at once do not get the same one, because of the subscription's lock", async () => {
    const twice = async (): Promise<number> => {
      const { member } = await shared(4)
      const batches = await Promise.all(range(1, 8).map((n) => member(`m${n}`).nextBatch({ maxEvents: 5 })))
      const numbers = (await Promise.all(batches.map(numbersOf))).flatMap((all) => all ?? [])
      return numbers.length - new Set(numbers).size
    }
    expect(await twice()).toBe(0)
    await withBroken(pool, "lock_subscription", "pg_advisory_xact_lock(lock_space('subscription'), s.id)", "pg_sleep(0.05)", async () => {
      expect((await Promise.all(range(1, 5).map(twice))).some((count) => count > 0)).toBe(true)
    })
  })
})

async function lets(owner: string): Promise<void> {
  await pool.query("insert into go values ($1)", [owner])
}

const effects = async (): Promise<unknown[]> => (await pool.query("select owner, array_agg(n order by n) as n from effect group by owner order by owner")).rows

async function short(): Promise<TestStream> {
  const stream = await freshStream()
  await subscribe(stream, "sub", { lease: "600ms" })
  await publish(stream, range(1, 3))
  return stream
}

describe("processes", () => {
  test("two under one name get one batch; the one that finishes second is refused, its effects undone (PgQ: both processed it)", async () => {
    const stream = await short()
    const [a, b] = [startChild("batch-child.ts", url, stream.name, "same"), startChild("batch-child.ts", url, stream.name, "same")]
    const [first, second] = [await a.next(), await b.next()]
    expect(second).toEqual(first)
    await lets("same")
    expect(new Set([await a.next(), await b.next()])).toEqual(new Set(["finished", "stale_batch"]))
    expect(await effects()).toEqual([{ owner: "same", n: [1, 2, 3] }])
  })

  test.each(["member", "alone"])("a zombie %s does not finish a batch that was taken over (PgQ coop: the old member can)", async (kind) => {
    const stream = await short()
    const zombie = startChild("batch-child.ts", url, stream.name, "zombie", kind)
    const { id } = await zombie.next()
    zombie.suspend()
    const other = stream.subscription("sub", { owner: "other", member: kind === "member" })
    const taken = await until(() => other.nextBatch(), "its lease is over")
    expect(taken.id).not.toBe(id)
    await lets("zombie")
    zombie.resume()
    expect(await zombie.next()).toBe("stale_batch")
    expect(await effects()).toEqual([])
    expect(await zombie.ended).toBe(0)
    await taken.finish()
  })

  test("one that is killed loses its batch to the next, one that is killed while it finishes too", async () => {
    const stream = await short()
    const child = startChild("batch-child.ts", url, stream.name, "killed")
    const { numbers } = await child.next()
    await child.kill()
    const other = stream.subscription("sub", { owner: "other" })
    const taken = await until(() => other.nextBatch(), "its lease is over")
    expect(taken.attempt).toBe(2)
    expect(await numbersOf(taken)).toEqual(numbers)
    const finishing = await openTransaction(pool)
    await taken.finish({ tx: finishing.tx })
    const { rows } = await finishing.tx.query("select pg_backend_pid() as pid")
    finishing.tx.on("error", () => {})
    await pool.query("select pg_terminate_backend($1)", [rows[0].pid])
    await finishing.end().catch(() => finishing.tx.release(true))
    const third = await until(() => stream.subscription("sub", { owner: "third" }).nextBatch(), "its lease is over")
    expect(third.attempt).toBe(3)
    await third.finish()
  })
})
