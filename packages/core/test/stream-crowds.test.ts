import { expect, test } from "vitest"
import { callPages } from "./helpers/claim-pages.ts"
import { numbersOf, publish, range, streamHarness } from "./helpers/streams.ts"

const { client, pool, freshStream, subscribe } = await streamHarness()

/** Pages that are looked at for 100 events from the middle of a transaction of so many. */
async function pagesOfSlice(events: number): Promise<number> {
  const stream = await freshStream()
  const subscription = await subscribe(stream)
  const { id } = await client.admin.getStream(stream.name)
  await pool.query(`insert into sluice.event_s${id}_0 (at, segment, type, data) select now(), 0, 'n', to_jsonb(n) from generate_series(1, ${events}) n`)
  for (let n = 0; n < events / 200; n++) await (await subscription.nextBatch({ maxEvents: 100, chunk: 1 }))!.finish()
  const batch = await subscription.nextBatch({ maxEvents: 100, chunk: 1 })
  expect(await numbersOf(batch)).toEqual(range(events / 2 + 1, events / 2 + 100))
  const { rows } = await pool.query("select lease from sluice.batch where id = $1", [batch!.id])
  const tx = await pool.connect()
  try {
    const call = `sluice.try_batch_events('${stream.name}', 'sub', ${batch!.id}, ${rows[0].lease}, 0, 100)`
    await callPages(tx, call)
    return (await callPages(tx, call)).pages
  } finally {
    tx.release()
  }
}

test("a part of a large transaction is read without the rest of it", async () => {
  const small = await pagesOfSlice(1000)
  expect(await pagesOfSlice(50_000)).toBeLessThanOrEqual(2 * small)
})

test("members take thousands of retries, each once, and none is compared with all that are held", async () => {
  const stream = await freshStream()
  const first = await subscribe(stream, "sub", {}, { member: true })
  await publish(stream, range(1, 5000))
  const batch = (await first.nextBatch({ maxEvents: 5000 }))!
  for (const event of await batch.list()) batch.retry(event, { delay: 0 })
  await batch.finish()
  const taken: number[] = []
  for (let n = 0; n < 10; n++) taken.push(...(await numbersOf(await stream.subscription("sub", { owner: `member ${n}`, member: true }).nextBatch({ maxEvents: 500 })))!)
  expect(taken.toSorted((a, b) => a - b)).toEqual(range(1, 5000))
  // By a hash of them, which only a constant gets: the plan is made anew.
  const { rows } = await pool.query<{ config: string[] }>("select proconfig as config from pg_proc where proname = 'due_retries' and pronamespace = 'sluice'::regnamespace")
  expect(rows[0]!.config).toContain("plan_cache_mode=force_custom_plan")
})
