import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { pinHorizon } from "./helpers/churn.ts"
import { inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { quietServer } from "./helpers/quiet-server.ts"
import { idlePages } from "./helpers/stream-cost.ts"
import { openTransaction, publish, range, streamHarness, take, type TestStream, type TestSubscription } from "./helpers/streams.ts"
import { withBroken } from "./helpers/with-broken.ts"

const { client, pool, freshStream, subscribe } = await streamHarness(await quietServer())
const maintenance = client.maintenance()
let unpin: () => Promise<void>
beforeEach(async () => {
  await moveClock(pool, "0")
  unpin = await pinHorizon(pool)
})
afterEach(async () => unpin())

async function idle(): Promise<{ stream: TestStream; sub: TestSubscription; fresh: number }> {
  const stream = await freshStream()
  const sub = await subscribe(stream)
  await publish(stream, [1])
  await take(sub)
  return { stream, sub, fresh: await idlePages(pool, stream) }
}

function expectFlat(what: string, before: number, after: number): void {
  console.log(`an idle nextBatch: ${what}: ${before} -> ${after} pages`)
  expect(after).toBeLessThanOrEqual(1.5 * before)
}

/** One event a batch, each in transactions of its own. */
async function batches({ stream }: { stream: TestStream }, count: number): Promise<void> {
  await pool.query(`do $$ declare v record; begin
    for i in 1 .. ${count} loop
      perform sluice.insert_event('${stream.name}', 'n', '1');
      commit;
      select * into strict v from sluice.next_batch('${stream.name}', 'sub', 'a');
      perform sluice.finish_batch('${stream.name}', 'sub', v.batch, v.token);
      commit;
    end loop;
  end $$`)
}

describe("under a pinned horizon an idle nextBatch looks at no more pages", () => {
  test("after 1,000 batches, with and without maintenance", async () => {
    const at = await idle()
    await batches(at, 600)
    expectFlat("600 batches", at.fresh, await idlePages(pool, at.stream))
    // As a join it reads all the ends there ever were.
    await withBroken(pool, "open_batches", /\(select e\.batch from (batch_end e where .*? = o)\) is null/gs, "not exists (select from $1)", async () => {
      expect(await idlePages(pool, at.stream)).toBeGreaterThan(1.5 * at.fresh)
    })
    await maintenance.run()
    await pool.query("select sluice.clear_batches(100)")
    expectFlat("cleared", at.fresh, await idlePages(pool, at.stream))
    await batches(at, 400)
    expectFlat("1,000 batches", at.fresh, await idlePages(pool, at.stream))
  })

  test("after 200,000 events", async () => {
    const at = await idle()
    for (const _ of range(1, 4)) {
      await pool.query("select sluice.try_publish($1, (select jsonb_agg(jsonb_build_object('type', 'n', 'data', n)) from generate_series(1, 50000) n))", [at.stream.name])
      await take(at.sub, { maxEvents: 100_000, chunk: 10_000 })
    }
    expectFlat("200,000 events", at.fresh, await idlePages(pool, at.stream))
  })

  test("with a window that was cut into a hundred slices", async () => {
    const at = await idle()
    await publish(at.stream, range(1, 1000))
    for (const _ of range(1, 100)) await take(at.sub, { maxEvents: 10 })
    expectFlat("100 slices", at.fresh, await idlePages(pool, at.stream))
  })

  test("beside open transactions, and after 150 that finished out of order", async () => {
    const at = await idle()
    const open: Awaited<ReturnType<typeof openTransaction>>[] = []
    let before = 0
    for (let n = 0; n < 150; n++) {
      const one = await openTransaction(pool)
      await publish(at.stream, [n], one.tx)
      open.push(one)
      if (open.length > 5) await open.splice(n % 5, 1)[0]!.end()
      await take(at.sub)
      // A look into each segment for each of them.
      if (n === 6) before = await idlePages(pool, at.stream)
    }
    expectFlat("5 open transactions", before, await idlePages(pool, at.stream))
    for (const { end } of open) await end()
    await take(at.sub)
    expectFlat("150 transactions", at.fresh, await idlePages(pool, at.stream))
  })

  test("after what was rolled back, and the ticks beside it, once it was looked at", async () => {
    const at = await idle()
    for (const _ of range(1, 100)) {
      await inTransaction(pool, (tx) => publish(at.stream, range(1, 20), tx), { end: "rollback" })
      await client.admin.forceTick(at.stream.name)
    }
    const rolledBack = { maxEvents: 100 }
    await withBroken(pool, "skip_nothing", /insert into batch .*$/gm, "select", async () => {
      expect(await idlePages(pool, at.stream, rolledBack, true)).toBeGreaterThan(3 * at.fresh)
    })
    expect(await at.sub.nextBatch(rolledBack)).toBeNull()
    expectFlat("2,000 rolled back", at.fresh, await idlePages(pool, at.stream, rolledBack))
    await publish(at.stream, [7])
    expect(await take(at.sub, rolledBack)).toEqual([7])
  })

  test("with minLag, after 300 ticks", async () => {
    const at = await idle()
    const lag = { minLag: "1s" } as const
    const fresh = await idlePages(pool, at.stream, lag)
    for (const n of range(1, 300)) {
      await publish(at.stream, [n])
      await client.admin.forceTick(at.stream.name)
    }
    await take(at.sub, { maxEvents: 10_000 })
    await moveClock(pool, "10 seconds")
    expect(await at.sub.nextBatch(lag)).toBeNull()
    expectFlat("minLag, 300 ticks", fresh, await idlePages(pool, at.stream, lag))
  })

  test("after 3,000 dead events", async () => {
    const at = await idle()
    await publish(at.stream, range(1, 3000))
    const batch = (await at.sub.nextBatch({ maxEvents: 3000 }))!
    for (const event of await batch.list()) batch.deadLetter(event)
    await batch.finish()
    expectFlat("3,000 dead", at.fresh, await idlePages(pool, at.stream))
  })
})
