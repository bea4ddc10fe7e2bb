import { beforeEach, describe, expect, test } from "vitest"
import { inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { eventOf, openTransaction, publish, range, streamHarness, take, takeAll, type TestStream, type TestSubscription } from "./helpers/streams.ts"
import { withBroken } from "./helpers/with-broken.ts"

const { client, pool, freshStream, subscribe } = await streamHarness()
beforeEach(() => moveClock(pool, "0"))
const levels = ["read committed", "repeatable read", "serializable"]

async function rotate(stream: TestStream): Promise<string> {
  return (await pool.query("select did from sluice.rotate_step($1)", [stream.name])).rows[0].did
}

/** A subscription, and one that a reader asks for only at the end. */
async function two() {
  const stream = await freshStream({ rotationPeriod: "1s" })
  return { stream, sub: await subscribe(stream, "sub"), lazy: await subscribe(stream, "lazy") }
}

async function expectOnce({ sub, lazy }: { sub: TestSubscription; lazy: TestSubscription }, seen: readonly number[], all: readonly number[]): Promise<void> {
  const rest = (await takeAll(sub)).flat()
  expect([...seen, ...rest].toSorted((a, b) => a - b)).toEqual(all)
  expect((await takeAll(lazy, { maxEvents: 3 })).flat().toSorted((a, b) => a - b)).toEqual(all)
}

describe.each(levels)("a producer in %s", (level) => {
  const begin = `begin isolation level ${level}`

  test("that commits late comes then, once, after events of higher ids", async () => {
    const at = await two()
    const late = await openTransaction(pool, begin)
    await publish(at.stream, [1], late.tx)
    await publish(at.stream, [2])
    const seen = [(await take(at.sub))!]
    await publish(at.stream, [3])
    await publish(at.stream, [4], late.tx)
    seen.push((await take(at.sub))!)
    await late.end()
    await publish(at.stream, [5])
    seen.push((await take(at.sub))!)
    expect(seen).toEqual([[2], [3], [1, 4, 5]])
    await expectOnce(at, seen.flat(), range(1, 5))
  })

  test("that rolls back, whole or to a savepoint, gives what it committed", async () => {
    const at = await two()
    const { tx, end } = await openTransaction(pool, begin)
    await publish(at.stream, [1], tx)
    await tx.query("savepoint s")
    await publish(at.stream, [-1], tx)
    await tx.query("rollback to s")
    await publish(at.stream, [2], tx)
    await tx.query("savepoint s")
    await publish(at.stream, [3], tx)
    await tx.query("release s")
    await inTransaction(pool, (other) => publish(at.stream, [-2, -3], other), { begin, end: "rollback" })
    expect(await at.sub.nextBatch()).toBeNull()
    await end()
    await expectOnce(at, [], [1, 2, 3])
  })

  // seeds.md: PgQ never delivered what a REPEATABLE READ producer wrote whose snapshot was older than a rotation.
  test("whose snapshot is older than rotations loses nothing, and neither do they", async () => {
    const at = await two()
    const late = await openTransaction(pool, begin)
    await late.tx.query("select from pg_class limit 1")
    const seen: number[] = []
    for (const n of range(1, 4)) {
      await publish(at.stream, [n])
      await moveClock(pool, `${2 * n} seconds`)
      await rotate(at.stream)
      if (n === 2) await publish(at.stream, [100], late.tx)
      seen.push(...(await take(at.sub))!)
    }
    await late.end()
    await rotate(at.stream)
    await expectOnce(at, seen, [...range(1, 4), 100])
  })
})

test("producers of all levels interleaved with readers, ticks and rotations: each event once for each subscription", async () => {
  const at = await two()
  const seen: number[] = []
  const open: Awaited<ReturnType<typeof openTransaction>>[] = []
  const committed: number[] = []
  for (let n = 0; n < 120; n++) {
    const producer = await openTransaction(pool, `begin isolation level ${levels[n % 3]!}`)
    await producer.tx.query("select from pg_class limit 1")
    open.push(producer)
    await publish(at.stream, [n], open[n % open.length]!.tx)
    await publish(at.stream, [1000 + n], producer.tx)
    if (open.length > 5) await open.splice((n * 7) % 5, 1)[0]!.end()
    if (n % 4 === 0) seen.push(...(await take(at.sub, { maxEvents: 1 + (n % 6) })) ?? [])
    if (n % 9 === 0) await client.admin.forceTick(at.stream.name)
    if (n % 13 === 0) {
      await moveClock(pool, `${n} seconds`)
      await rotate(at.stream)
    }
    committed.push(n, 1000 + n)
  }
  for (const { end } of open) await end()
  await expectOnce(at, seen, committed.toSorted((a, b) => a - b))
})

test("a commit that comes after many windows, while others come and go between, is in one of them", async () => {
  const at = await two()
  const late = await openTransaction(pool)
  await publish(at.stream, [0], late.tx)
  const seen: number[] = []
  const between: Awaited<ReturnType<typeof openTransaction>>[] = []
  for (const n of range(1, 60)) {
    const other = await openTransaction(pool)
    await publish(at.stream, [n], other.tx)
    between.push(other)
    if (between.length > 3) await between.shift()!.end()
    seen.push(...(await take(at.sub)) ?? [])
  }
  for (const { end } of between) await end()
  seen.push(...(await take(at.sub))!)
  expect(seen).not.toContain(0)
  await late.end()
  expect(await take(at.sub)).toEqual([0])
  await expectOnce(at, [...seen, 0], range(0, 60))
})

test("what a reader publishes in the transaction in which it opens a batch comes later, once", async () => {
  const at = await two()
  await publish(at.stream, [1])
  await inTransaction(pool, async (tx) => {
    await publish(at.stream, [2], tx)
    const { rows } = await tx.query("select * from sluice.next_batch($1, 'sub', 'sql')", [at.stream.name])
    expect(rows).toMatchObject([{ events: 1 }])
    await tx.query("select sluice.finish_batch($1, 'sub', $2, $3)", [at.stream.name, rows[0].batch, rows[0].token])
  })
  await expectOnce(at, [1], [1, 2])
})

test("a late commit is among the retries of its batch as any other", async () => {
  const { stream, sub } = await two()
  const late = await openTransaction(pool)
  await publish(stream, [1], late.tx)
  await publish(stream, [2])
  await take(sub)
  await late.end()
  const batch = (await sub.nextBatch())!
  batch.retry(await eventOf(batch, 1), { delay: 0 })
  await batch.finish()
  expect(await takeAll(sub)).toEqual([[1]])
})

describe("each of these would lose or double events, and is seen to", () => {
  /** A late commit, one beside the reader's own snapshot, and readers that wait for the lock. */
  async function scenario(): Promise<void> {
    const at = await two()
    const late = await openTransaction(pool)
    await publish(at.stream, [1], late.tx)
    await publish(at.stream, [2])
    const seen = (await take(at.sub))!
    await late.end()
    await publish(at.stream, [3])
    await expectOnce(at, seen, [1, 2, 3])
  }

  test.each([
    ["a window without what committed late", "seen_now", /- coalesce\(\s*\(select range_agg.*?'\{\}'\)/gs, ""],
    ["a window that ends at the oldest open transaction alone", "open_window", "n.txids := w.seen - b.seen;", "n.txids := int8multirange(int8range(coalesce(upper(b.seen), 0), upper(w.seen)));"],
    ["a window from where the last but one began", "open_window", "n.txids := w.seen - b.seen;", "n.txids := w.seen;"],
  ])("%s", async (_what, name, from, to) => {
    await scenario()
    await withBroken(pool, name, from, to, () => expect(scenario()).rejects.toThrow())
  })

  test("a position from a snapshot that is newer than what was looked at", async () => {
    const beside = async (): Promise<void> => {
      const at = await two()
      await publish(at.stream, [1])
      const asked = at.sub.nextBatch().then(async (batch) => {
        const numbers = (await batch!.list()).map(({ data }) => data as number)
        await batch!.finish()
        return numbers
      })
      await new Promise((resolve) => setTimeout(resolve, 100))
      await publish(at.stream, [2])
      await expectOnce(at, await asked, [1, 2])
    }
    await withBroken(pool, "open_window", "n.seen := w.seen;", "perform pg_sleep(0.3); n.seen := w.seen;", beside)
    await withBroken(pool, "next_content", "n := open_window(s, b, p_max, p_min, p_max_wait, p_before, p_now);", "n := open_window(s, b, p_max, p_min, p_max_wait, p_before, p_now); perform pg_sleep(0.3); n.seen := (select seen_now());", async () => {
      await expect(beside()).rejects.toThrow()
    })
  })
})
