import type { PoolClient } from "pg"
import { beforeAll, describe, expect, test } from "vitest"
import { callPages } from "./helpers/claim-pages.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { insertMany, type StorageKind, unvacuumedQueue } from "./helpers/leaves.ts"
import { withBroken } from "./helpers/with-broken.ts"

const database = await harness()
const { client, pool } = database
const MANY = 20_000

/** Pages that a call looks at, once its connection has its plans; each call is rolled back. */
async function pages(call: string, rows: number): Promise<number> {
  const looks: number[] = []
  await inTransaction(pool, async (tx: PoolClient) => {
    for (let i = 0; i < 3; i++) {
      await tx.query("savepoint look")
      const look = await callPages(tx, call)
      expect(look.rows, call).toBe(rows)
      looks.push(look.pages)
      await tx.query("rollback to look")
    }
  }, { end: "rollback" })
  return looks.at(-1)!
}

interface Places {
  readonly dead: string
  readonly archived: string
  /** Three of what died in a queue, by where it lies. */
  readonly ids: Record<"dead" | "archived", string>
}

/** Two queues that have buried `count` messages beside as many of others: in a dead-letter queue, and in the archive. */
async function places(storage: StorageKind, count: number): Promise<Places> {
  const [lies, dead, archived] = [await unvacuumedQueue(database, storage), await unvacuumedQueue(database, storage), await unvacuumedQueue(database, storage)]
  await client.admin.updateQueue(dead.name, { deadLetter: lies.name })
  await insertMany(pool, lies, count, "-1 minute")
  await pool.query(`update sluice.message${lies.suffix} set origin = (select id from sluice.queue where name = $2), headers = jsonb_build_object('n', id)
    where queue = (select id from sluice.queue where name = $1)`, [lies.name, dead.name])
  await pool.query(
    `insert into sluice.archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, payload)
     select q.id, 900000000 + n, now(), case when n % greatest($2 / 3, 1) = 0 then 'dead' else 'done' end, 1, 1, now(), '1' from sluice.queue q, generate_series(1, $2::int) n where q.name = $1`,
    [archived.name, count],
  )
  for (const table of [`message${lies.suffix}`, "archive"]) await pool.query(`vacuum analyze sluice.${table}`)
  const pick = async (text: string, name: string): Promise<string> => (await pool.query<{ id: string }>(`${text} order by id limit 3`, [name])).rows.map(({ id }) => id).join(",")
  return {
    dead: dead.name,
    archived: archived.name,
    ids: {
      dead: await pick(`select m.id from sluice.message${lies.suffix} m join sluice.queue q on q.id = m.origin where q.name = $1`, dead.name),
      archived: await pick("select a.id from sluice.archive a join sluice.queue q on q.id = a.queue where q.name = $1 and outcome = 'dead'", archived.name),
    },
  }
}

const calls: [string, (places: Places) => string][] = [
  ["a redrive of three ids from the dead-letter queue", ({ dead, ids }) => `sluice.try_redrive('${dead}', '{${ids.dead}}', null, 1000, false)`],
  ["a preview of three ids from the dead-letter queue", ({ dead, ids }) => `sluice.try_redrive('${dead}', '{${ids.dead}}', null, 1000, true)`],
  ["a redrive of the oldest three from the dead-letter queue", ({ dead }) => `sluice.try_redrive('${dead}', null, null, 3, false)`],
  ["a redrive of three ids from the archive", ({ archived, ids }) => `sluice.try_redrive('${archived}', '{${ids.archived}}', null, 1000, false)`],
  ["a redrive of all three that died among many that are done", ({ archived }) => `sluice.try_redrive('${archived}', null, null, 1000, false)`],
  ["a cancel of three ids", ({ dead, ids }) => `sluice.try_cancel((select name from sluice.queue q where id = (select dead_letter from sluice.queue where name = '${dead}')), '{${ids.dead}}')`],
]

describe.each<StorageKind>(["shared", "dedicated"])("in a %s storage, beside 20,000 messages, no more than twice the pages that it looks at beside three:", (storage) => {
  let few: Places
  let many: Places
  beforeAll(async () => {
    few = await places(storage, 3)
    many = await places(storage, MANY)
  })

  test.each(calls)("%s", async (what, call) => {
    const [before, after] = [await pages(call(few), 3), await pages(call(many), 3)]
    console.log(`${storage}, ${what}: ${before} -> ${after} pages`)
    expect(after).toBeLessThanOrEqual(2 * before)
  })
})

test("the gate is closed to a redrive that looks at the whole queue", async () => {
  const many = await places("shared", MANY)
  const few = await places("shared", 3)
  const [, call] = calls[0]!
  await withBroken(pool, "dead_sources", "m.id = any ($3)", "m.id + 0 = any ($3)", async () => {
    expect(await pages(call(many), 3)).toBeGreaterThan(2 * (await pages(call(few), 3)))
  })
  await pool.query("drop index sluice.archive_dead")
  const [, all] = calls[4]!
  expect(await pages(all(many), 3)).toBeGreaterThan(2 * (await pages(all(few), 3)))
})
