import { beforeAll, describe, expect, test } from "vitest"
import { harness } from "./helpers/harness.ts"

const { client, pool, freshQueue } = await harness()
const COUNT = 20_000
let crowded: string
let quiet: string
let last: string

beforeAll(async () => {
  ;[crowded, quiet] = [await freshQueue(), await freshQueue()]
  await pool.query("alter table sluice.message_0 set (autovacuum_enabled = false)")
  await pool.query("alter table sluice.archive_default set (autovacuum_enabled = false)")
  await pool.query(
    `insert into sluice.message (segment, queue, priority, vt, enqueued_at, payload)
     select 0, q.id, 1, sluice.clock(), sluice.clock(), '1' from sluice.queue q, generate_series(1, $2::int) where q.name = $1`,
    [crowded, COUNT],
  )
  await pool.query(
    `insert into sluice.archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, payload)
     select queue, id, enqueued_at, 'done', 1, 1, enqueued_at, payload from sluice.message`,
  )
  await client.queue(quiet).send("alone")
  last = (await pool.query("select max(id)::text as id from sluice.message")).rows[0].id
})

/** Pages that a statement looks at, at worst of the first and the seventh time on one connection: by then plans are generic. */
async function pages(statement: string): Promise<number> {
  const tx = await pool.connect()
  try {
    const looks: number[] = []
    for (let i = 0; i < 7; i++) {
      await tx.query("begin")
      const { rows } = await tx.query(`explain (analyze, buffers, format json) select * from sluice.${statement}`)
      await tx.query("rollback")
      const { Plan: plan } = rows[0]["QUERY PLAN"][0]
      looks.push(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    }
    return Math.max(looks[1]!, looks[6]!)
  } finally {
    tx.release()
  }
}

const analyze = async (): Promise<void> => {
  for (const table of ["message", "archive", "queue"]) await pool.query(`analyze sluice.${table}`)
}

describe.each([
  ["no statistics", async () => {}],
  ["fresh statistics", analyze],
])("with %s, beside a queue of 20,000 messages", (_, prepare) => {
  beforeAll(prepare)

  test.each([
    ["a page of a crowded queue", () => `try_list_messages(null, '${crowded}', null, ${BigInt(last) - 5000n}, 11)`],
    ["a page of all queues", () => `try_list_messages(null, null, null, ${BigInt(last) - 5000n}, 11)`],
    ["a page of a quiet queue", () => `try_list_messages(null, '${quiet}', null, null, 11)`],
    ["one message", () => `try_list_messages(${last}, null, null, null, 1)`],
    ["the count of a quiet queue", () => `try_count_messages('${quiet}', null)`],
    ["the metrics of a quiet queue", () => `try_metrics('${quiet}')`],
    ["a page of a crowded archive", () => `try_list_archive(null, '${crowded}', null, ${BigInt(last) - 5000n}, 11)`],
    ["a page of all archives", () => `try_list_archive(null, null, null, ${BigInt(last) - 5000n}, 11)`],
    ["a page of a quiet archive", () => `try_list_archive(null, '${quiet}', null, null, 11)`],
    ["one archived message", () => `try_list_archive(${BigInt(last) - 1n}, null, null, null, 1)`],
    ["the count of a quiet archive", () => `try_count_archive('${quiet}', null)`],
    ["a purge of a quiet queue", () => `try_purge('${quiet}')`],
    ["a drop of a quiet queue", () => `try_drop_queue('${quiet}', false, false)`],
  ])("%s is had without a look at what is not asked for", async (_what, statement) => {
    expect(await pages(statement())).toBeLessThan(150)
  })

  test("the metrics of all queues visit each message once", async () => {
    const one = await pages(`try_metrics('${crowded}')`)
    for (let i = 0; i < 10; i++) await freshQueue()
    expect(await pages("try_metrics(null)")).toBeLessThan(2 * one)
  })
})
