import { expect, test } from "vitest"
import { until } from "./helpers/until.ts"
import { openTransaction, publish, range, streamHarness, take } from "./helpers/streams.ts"

const { client, pool, freshStream, subscribe } = await streamHarness()

test("maintenance does not wait for who changes a stuck subscription, and looks at it later", async () => {
  const stream = await freshStream()
  await subscribe(stream, "sub", { lagLimit: { events: 1 }, whenStuck: "expire" })
  await publish(stream, range(1, 5))
  const { tx, end } = await openTransaction(pool)
  await client.admin.updateSubscription(stream.name, "sub", { lagLimit: null }, { tx })
  expect(await client.maintenance().run()).toMatchObject({ ran: true, expired: 0 })
  await end("rollback")
  expect(await client.maintenance().run()).toMatchObject({ ran: true, expired: 1 })
})

test("a subscription may be dropped beside maintenance that forgets its batches", async () => {
  const stream = await freshStream()
  const subscription = await subscribe(stream)
  for (let n = 0; n < 105; n++) {
    await publish(stream, [n])
    await take(subscription)
  }
  const { tx, end } = await openTransaction(pool)
  await tx.query("select from sluice.batch where subscription = (select max(id) from sluice.subscription) for update")
  const clearing = pool.query("select sluice.clear_batches(0)")
  await until(async () => (await pool.query("select from pg_stat_activity where wait_event_type = 'Lock' and query like '%clear_batches%'")).rowCount! > 0)
  expect(await client.admin.dropSubscription(stream.name, "sub", { tx })).toBe(true)
  await end()
  await clearing
})

test.each(["dropped", "expired"])("the signal of a batch whose subscription is %s fires at the next renewal", async (how) => {
  const stream = await freshStream()
  const subscription = await subscribe(stream, "sub", { lease: "300ms" })
  await publish(stream, [1])
  for await (const batch of subscription.batches()) {
    if (how === "dropped") await client.admin.dropSubscription(stream.name, "sub")
    else await pool.query("update sluice.subscription set expired_at = now() where name = 'sub'")
    await until(() => batch.signal.aborted)
    break
  }
})

test("lags are looked at page by page, each with locks of its own", async () => {
  const stream = await freshStream()
  for (let n = 0; n < 5; n++) await subscribe(stream, `page.${n}`, { lagLimit: { events: 1 } })
  await publish(stream, range(1, 5))
  const found: string[] = []
  let pages = 0
  for (let after: number | null = 0; after !== null; pages++) {
    const { rows }: { rows: { stream: string | null; subscription: string; next: number | null }[] } = await pool.query("select * from sluice.check_lags($1, 2)", [after])
    found.push(...rows.filter((row) => row.stream === stream.name).map(({ subscription }) => subscription))
    after = rows.at(-1)?.next ?? null
  }
  expect(found).toEqual(range(0, 4).map((n) => `page.${n}`))
  expect(pages).toBeGreaterThanOrEqual(3)
  await pool.query("select sluice.create_subscription($1, 'more.' || n, '{\"lagLimit\": {\"events\": 1}}') from generate_series(1, 150) n", [stream.name])
  await publish(stream, range(1, 5))
  const stuck = new Set<string>()
  await client.maintenance({ onStuck: (one) => stuck.add(one.subscription) }).run()
  expect(stuck.size).toBeGreaterThanOrEqual(155)
})
