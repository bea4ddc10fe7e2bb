import { StreamNotFoundError, SubscriptionNotFoundError } from "@sluice/core"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { eventOf, openTransaction, publish, range, streamHarness, take, takeAll } from "./helpers/streams.ts"
import { until } from "./helpers/until.ts"

const { client, pool, freshStream, subscribe } = await streamHarness()
const { admin } = client

async function held() {
  const stream = await freshStream()
  const sub = await subscribe(stream)
  await publish(stream, [1, 2, 3])
  const batch = (await sub.nextBatch({ chunk: 1, maxEvents: 2 }))!
  return { stream, sub, batch }
}

const waits = (what: string): Promise<unknown> =>
  until(async () => (await pool.query("select from pg_stat_activity where wait_event_type = 'Lock' and query like $1", [`%${what}%`])).rowCount, `${what} waits`)

const leftOver = async (): Promise<unknown> =>
  (await pool.query(`select (select count(*)::int from sluice.batch where not subscription = any (s)) as batches, (select count(*)::int from sluice.batch_end where not subscription = any (s)) as ends,
      (select count(*)::int from sluice.batch_lease where not subscription = any (s)) as leases, (select count(*)::int from sluice.slice where not subscription = any (s)) as slices,
      (select count(*)::int from sluice.event_retry where not subscription = any (s)) as retries, (select count(*)::int from sluice.tick where not stream = any (t)) as ticks,
      (select count(*)::int from sluice.stream_segment where not stream = any (t)) as segments
    from (select array(select id from sluice.subscription) as s, array(select id from sluice.stream) as t) ids`)).rows[0]
const nothing = { batches: 0, ends: 0, leases: 0, slices: 0, retries: 0, ticks: 0, segments: 0 }

const drops = {
  subscription: (stream: string) => admin.dropSubscription(stream, "sub"),
  stream: (stream: string) => admin.dropStream(stream, { force: true }),
}
const gone = { subscription: SubscriptionNotFoundError, stream: StreamNotFoundError }

describe.each(["subscription", "stream"] as const)("dropping a %s", (what) => {
  test("while a batch is held ends it, and leaves nothing", async () => {
    const { stream, sub, batch } = await held()
    const other = await subscribe(stream, "other")
    expect(await errorOf(admin.dropStream(stream.name))).toMatchObject({ code: "stream_in_use", subscriptions: ["other", "sub"] })
    await batch.list()
    batch.retry(await eventOf(batch, 1), { delay: 0 })
    await drops[what](stream.name)
    for (const way of [() => batch.finish(), () => batch.renew(), () => batch.release(), () => batch.list(), () => sub.nextBatch()]) expect(await errorOf(way), String(way)).toBeInstanceOf(gone[what])
    if (what === "subscription") expect(await other.nextBatch()).toBeNull()
    else expect(await errorOf(other.nextBatch())).toBeInstanceOf(StreamNotFoundError)
    expect(await leftOver()).toEqual(nothing)
  })

  test("waits for who finishes a batch, which counts", async () => {
    const { stream, batch } = await held()
    const { tx, end } = await openTransaction(pool)
    batch.retry(await eventOf(batch, 1), { delay: 0 })
    await batch.finish({ tx })
    const dropped = drops[what](stream.name)
    await waits(`try_drop_${what}`)
    await end()
    expect(await dropped).toBe(true)
    expect(await leftOver()).toEqual(nothing)
  })

  test("makes who comes while it is dropped wait, and then tells it so", async () => {
    const { stream, sub, batch } = await held()
    const { tx, end } = await openTransaction(pool)
    await (what === "stream" ? admin.dropStream(stream.name, { force: true, tx }) : admin.dropSubscription(stream.name, "sub", { tx }))
    const calls = [sub.nextBatch(), batch.finish(), admin.reposition(stream.name, "sub", { to: "earliest" }), admin.updateSubscription(stream.name, "sub", { lease: "1m" })].map((call) => errorOf(call))
    for (const call of ["try_next_batch", "try_finish_batch", "try_reposition", "try_update_subscription"]) await waits(call)
    const dropped = admin.dropSubscription(stream.name, "sub").catch(({ code }) => code as string)
    await end()
    expect(await dropped).toBe(what === "stream" ? "stream_not_found" : false)
    const codes = (await Promise.all(calls)).map(({ code }) => code)
    const expected = what === "stream" ? "stream_not_found" : "subscription_not_found"
    // A batch whose rows went while its finish waited for them is stale.
    expect(codes[0]).toBe(expected)
    expect([expected, "stale_batch"]).toContain(codes[1])
    expect(codes.slice(2)).toEqual([expected, expected])
    expect(await leftOver()).toEqual(nothing)
  })

  test("while a batch is given back leaves nothing, or what maintenance clears away", async () => {
    const { stream, batch } = await held()
    const { tx, end } = await openTransaction(pool)
    await (what === "stream" ? admin.dropStream(stream.name, { force: true, tx }) : admin.dropSubscription(stream.name, "sub", { tx }))
    const released = batch.release().catch(() => {})
    if (what === "stream") await waits("try_renew_batch")
    else await released
    await end()
    await released
    expect(await leftOver()).toEqual({ ...nothing, leases: what === "stream" ? 0 : 1 })
    await client.maintenance().run()
    expect(await leftOver()).toEqual(nothing)
  })

  test("and rolling back leaves the batch as it was", async () => {
    const { stream, sub, batch } = await held()
    const { tx, end } = await openTransaction(pool)
    await (what === "stream" ? admin.dropStream(stream.name, { force: true, tx }) : admin.dropSubscription(stream.name, "sub", { tx }))
    await end("rollback")
    expect(await batch.list()).toHaveLength(2)
    await batch.finish()
    expect(await takeAll(sub)).toEqual([[3]])
  })

  test("again and again while others read, publish, finish and register gives no error but that it is gone", async () => {
    const stream = await freshStream()
    let over = false
    const codes = new Set<string | undefined>()
    const loop = async (work: () => Promise<unknown>): Promise<void> => {
      while (!over) await work().catch((error: { code?: string; message: string }) => codes.add(error.code ?? error.message))
    }
    const loops = [
      ...["a", "b"].map((owner) => loop(() => take(stream.subscription("sub", { owner, member: true }), { maxEvents: 2 }))),
      loop(() => publish(stream, [1, 2, 3])),
      loop(() => admin.createStream(stream.name)),
      loop(() => admin.createSubscription(stream.name, "sub", { from: "earliest" })),
      loop(() => admin.listSubscriptions(stream.name)),
    ]
    try {
      for (const _ of range(1, 25)) await drops[what](stream.name)
    } finally {
      over = true
      await Promise.all(loops)
    }
    for (const code of codes) expect(["stream_not_found", "subscription_not_found", "stale_batch"]).toContain(code)
    await admin.dropStream(stream.name, { force: true })
    expect(await leftOver()).toEqual(nothing)
  })
})
