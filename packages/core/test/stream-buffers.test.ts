import { describe, expect, test } from "vitest"
import { pinHorizon } from "./helpers/churn.ts"
import { callPages } from "./helpers/claim-pages.ts"
import { harness } from "./helpers/harness.ts"
import { quietServer } from "./helpers/quiet-server.ts"
import { withBroken } from "./helpers/with-broken.ts"

const { client, pool } = await harness(await quietServer())

const EVENTS = 50_000
const BATCHES = 2000

async function openStream(name: string): Promise<string> {
  await client.admin.createStream(name)
  await client.admin.createSubscription(name, "s")
  return name
}

const publish = (name: string, count: number): string => `sluice.try_publish('${name}', (select jsonb_agg(jsonb_build_object('type', 'n', 'data', n)) from generate_series(1, ${count}) n))`
const next = (name: string): string => `sluice.try_next_batch('${name}', 's', 'reader', false, null, 1000, 1, null, null, true, 1000)`

/** Pages that the drain of 1000 events looks at: the worst of three, each rolled back, on a connection that has its plans already. */
async function drainPages(name: string): Promise<{ next: number; finish: number; nothing: number }> {
  const tx = await pool.connect()
  try {
    await tx.query(`select count(*) from ${publish(name, 1000)}`)
    const looks: { next: number; finish: number; nothing: number }[] = []
    for (let i = 0; i < 5; i++) {
      await tx.query("begin")
      const found = await callPages(tx, next(name))
      expect(found.rows).toBe(1001) // the batch itself, and its events
      const { rows } = await tx.query("select id, lease from sluice.batch order by id desc limit 1")
      const finish = await callPages(tx, `sluice.try_finish_batch('${name}', 's', ${rows[0].id}, ${rows[0].lease}, '[]')`)
      const nothing = await callPages(tx, next(name))
      expect(nothing.rows).toBe(0)
      await tx.query("rollback")
      looks.push({ next: found.pages, finish: finish.pages, nothing: nothing.pages })
    }
    await tx.query(`select sluice.finish_batch('${name}', 's', batch, token) from sluice.next_batch('${name}', 's', 'reader')`)
    const worst = (key: keyof (typeof looks)[number]): number => Math.max(...looks.slice(2).map((look) => look[key]))
    return { next: worst("next"), finish: worst("finish"), nothing: worst("nothing") }
  } finally {
    tx.release()
  }
}

/** Publishes and drains in the server, each step a transaction of its own. */
async function churn(name: string): Promise<void> {
  await pool.query(`do $$ declare b record; begin
    for i in 1 .. ${BATCHES} loop
      perform count(*) from ${publish(name, EVENTS / BATCHES)};
      commit;
      select * into strict b from sluice.next_batch('${name}', 's', 'reader');
      commit;
      perform sluice.finish_batch('${name}', 's', b.batch, b.token);
      commit;
    end loop;
  end $$`)
}

async function expectFlat(name: string, what: string): Promise<void> {
  const fresh = await drainPages(await openStream(`${name}.fresh`))
  await openStream(name)
  await churn(name)
  const { rows } = await pool.query("select count(*)::int as n from sluice.batch b join sluice.subscription s on s.id = b.subscription join sluice.queue q on q.id = s.stream where q.name = $1", [name])
  expect(rows[0].n).toBeGreaterThan(BATCHES)
  const after = await drainPages(name)
  console.log(`${what}: next ${fresh.next} -> ${after.next}, finish ${fresh.finish} -> ${after.finish}, of nothing ${fresh.nothing} -> ${after.nothing} pages`)
  for (const key of ["next", "finish", "nothing"] as const) expect(after[key], key).toBeLessThanOrEqual(2 * fresh[key])
}

describe(`after ${EVENTS} events in ${BATCHES} batches, and no vacuum, the drain of 1000 events looks at no more than twice the pages`, { timeout: 90_000 }, () => {
  test("by itself", () => expectFlat("plain", "plain"))

  test("under a pinned horizon, and not where those that have ended are looked at", async () => {
    const unpin = await pinHorizon(pool)
    await expectFlat("pinned", "pinned")
    const fresh = await drainPages(await openStream("fresh.again"))
    await withBroken(pool, "open_batches", "(select e.batch from batch_end e where e.subscription = b.subscription and e.batch = o) is null", "o not in (select e.batch + 0 from batch_end e where e.subscription = b.subscription)", async () => {
      expect((await drainPages("pinned")).nothing).toBeGreaterThan(2 * fresh.nothing)
    })
    await unpin()
  })
})
