import { beforeAll, describe, expect, inject, test } from "vitest"
import { pinHorizon } from "./helpers/churn.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { insertMany, type LeafQueue, processMany, sendMany, unvacuumedQueue } from "./helpers/leaves.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { type Explainer, explainerMissing, openExplainer, type Scan } from "./helpers/nested-plans.ts"
import { withBroken } from "./helpers/with-broken.ts"

const database = await harness()
const { client, pool, url } = database
const shared = await unvacuumedQueue(database, "shared")
const dedicated = await unvacuumedQueue(database, "dedicated")

const QUEUE = "queue_name (name)"
const SEGMENT = "segment_pkey (storage)"
const FLOOR = "floor_pkey (storage, queue, priority)"
const OLD_FLOORS = "floor_pkey (storage, queue, priority, version)"
const CLAIM = "message_queue_priority_vt_id_idx (queue, priority, vt)"
const DEPENDANTS = "dependency_pkey (queue, parent)"
const ANY_CANCELLED = "cancellation_pkey (queue)"
const CANCELLED = "cancellation_pkey (queue, id)"
const KEY = "message_pkey (queue, id)"

const GROUP_READY = "message_queue_grp_priority_vt_id_idx"
/** Messages of two groups, one with nearly all. */
const GROUPED = "update sluice.queue set ungrouped = 0; update sluice.message set grp = (id % 100 = 0)::int"

interface Operation {
  readonly call: (queue: LeafQueue, held: Held) => string
  readonly by: readonly string[]
  /** What is done before, unwatched. */
  readonly before?: string
}

interface Held {
  readonly ids: string
  readonly leases: string
  readonly id: string
  readonly lease: string
}

/** Of a function that takes the row of the queue and its live segments. */
const withRow = (call: string, { name }: LeafQueue): string =>
  `select sluice.${call} from sluice.queue q, lateral (select live from sluice.segment where storage = q.storage order by generation desc limit 1) s where q.name = '${name}'`

const settle = (name: string): Operation => ({
  call: (queue, { ids, leases }) => `select * from sluice.try_${name}('${queue.name}', '${ids}', '${leases}')`,
  by: [QUEUE, SEGMENT, KEY, DEPENDANTS],
})

const operations: Record<string, Operation> = {
  send: { call: ({ name }) => `select * from sluice.try_send('${name}', '1', null, null, null, null)`, by: [QUEUE, SEGMENT] },
  "send of a batch": { call: ({ name }) => `select * from sluice.try_send_batch('${name}', '[1, 2]', '[]', null, null, null, null)`, by: [QUEUE, SEGMENT] },
  read: { call: ({ name }) => `select * from sluice.try_read('${name}', 10, null, false, null)`, by: [QUEUE, SEGMENT, FLOOR, CLAIM, KEY, ANY_CANCELLED] },
  pop: { call: ({ name }) => `select * from sluice.try_pop('${name}', 10, false, null)`, by: [QUEUE, SEGMENT, FLOOR, CLAIM, KEY, ANY_CANCELLED, DEPENDANTS] },
  delete: settle("delete"),
  archive: settle("archive"),
  "a stale settle": { call: ({ name }) => `select * from sluice.try_delete('${name}', '{1}', '{1}')`, by: [QUEUE, SEGMENT, KEY, DEPENDANTS, "pg_class_oid_index (oid)"] },
  setVt: { call: ({ name }, { id, lease }) => `select * from sluice.try_set_vt('${name}', ${id}, ${lease}, null, '1 second', null)`, by: [QUEUE, SEGMENT, KEY] },
  "retry and release": {
    call: ({ name }, { ids, leases }) => `select * from sluice.try_settle('${name}', '${ids}', '${leases}', '[{"to": "retry"}, {"to": "release"}, {"to": "snooze"}, {"to": "retry"}, {"to": "release"}]')`,
    by: [QUEUE, SEGMENT, KEY, CANCELLED],
  },
  "what a worker finished": { call: ({ name }, { ids, leases }) => `select * from sluice.try_finish('${name}', '${ids}', '${leases}', '[]', '{}', '{}', '[]')`, by: [QUEUE, SEGMENT, KEY, DEPENDANTS] },
  "a lock for a transaction": { ...settle("lock"), by: [QUEUE, SEGMENT, KEY, CANCELLED] },
  "a beat": {
    call: ({ name }, { ids, leases }) => `select sluice.beat('{"name": "w", "every": 1000000, "queues": []}', '{"${name}": {"ids": [${ids.slice(1, -1)}], "leases": [${leases.slice(1, -1)}]}}')`,
    by: [QUEUE, SEGMENT, KEY, CANCELLED, "worker_name_key (name)"],
  },
  sweep: {
    before: `insert into sluice.floor (storage, queue, priority, vt, swept_at, looked_at, look)
      select storage, id, 1, now() - interval '1 minute', now() - interval '1 minute', now() - interval '1 minute', '0' from sluice.queue`,
    call: (queue) => withRow(`sweep${queue.suffix}(q)`, queue),
    by: [SEGMENT, FLOOR, OLD_FLOORS, CLAIM, KEY],
  },
  "a look below the floor": { call: (queue) => withRow(`look_below${queue.suffix}(q, s.live, 1, now(), now())`, queue), by: [CLAIM, KEY] },
  "the next group": { before: GROUPED, call: (queue) => withRow(`next_group${queue.suffix}(q, s.live, 0)`, queue), by: [`${GROUP_READY} (queue, grp)`] },
  "what is held": { before: GROUPED, call: (queue) => withRow(`held_of${queue.suffix}(q, s.live, null, now())`, queue), by: ["message_queue_grp_idx (queue)"] },
  "what is held of a group": { before: GROUPED, call: (queue) => withRow(`held_of${queue.suffix}(q, s.live, 1, now())`, queue), by: ["message_queue_grp_idx (queue, grp)"] },
  "a claim of a group": { before: GROUPED, call: (queue) => withRow(`lock_group${queue.suffix}(q, s.live, 1, 10, now(), null)`, queue), by: [`${GROUP_READY} (queue, grp, priority, vt)`] },
  "a claim of a group in order": {
    before: `${GROUPED}; update sluice.queue set fifo = true`,
    call: (queue) => withRow(`lock_group${queue.suffix}(q, s.live, 1, 10, now(), null)`, queue),
    by: ["message_queue_grp_id_idx (queue, grp)", KEY],
  },
  "a look for the dead": { call: (queue) => withRow(`dead_ahead${queue.suffix}(q, s.live, now())`, queue), by: [FLOOR, CLAIM, KEY, CANCELLED] },
}

async function hold({ connection }: Explainer, queue: LeafQueue): Promise<Held> {
  const { rows } = await connection.query(
    `select array_agg(id order by id)::text as ids, array_agg(lease order by id)::text as leases, min(id)::text as id, min(lease)::text as lease
       from sluice.try_read($1, 5, null, false, null)`,
    [queue.name],
  )
  return rows[0]
}

/** The plans that a new connection makes, operation by operation, each of which is rolled back. */
async function plansOf(queue: LeafQueue): Promise<Record<string, Scan[]>> {
  const explainer = await openExplainer(url)
  const { connection } = explainer
  const plans: Record<string, Scan[]> = {}
  try {
    for (const [name, { call, before }] of Object.entries(operations)) {
      await connection.query("begin")
      if (before !== undefined) await connection.query(before)
      plans[name] = await explainer.scans(call(queue, await hold(explainer, queue)))
      await connection.query("rollback")
    }
    return plans
  } finally {
    await explainer.end()
  }
}

/** What is pinned, of the leaves that are live. */
function pinned(queue: LeafQueue, live: readonly number[]): Record<string, string[]> {
  const named = (by: string): string[] => (by.startsWith("message_") ? live.map((leaf) => by.replace("message_", `message${queue.suffix}_${leaf}_`)) : [by])
  return Object.fromEntries(Object.entries(operations).map(([name, { by }]) => [name, by.flatMap(named).sort()]))
}

/** But for scans by place: those visit what was found by an index, and no other. */
const used = (plans: Record<string, Scan[]>): Record<string, string[]> =>
  Object.fromEntries(Object.entries(plans).map(([name, scans]) => [name, [...new Set(scans.map(({ by }) => by))].filter((by) => !by.startsWith("Tid Scan")).sort()]))

async function setLive(queue: LeafQueue, live: string): Promise<void> {
  await pool.query(
    `select sluice.set_segments(s, 0, $2::smallint[]) from sluice.segment s join sluice.queue q using (storage) where q.name = $1 order by generation desc limit 1`,
    [queue.name, live],
  )
}

async function clear(queue: LeafQueue): Promise<void> {
  await pool.query(`truncate sluice.floor, ${queue.leaves.join(", ")}`)
  await moveClock(pool, "0")
}
const analyze = (queue: LeafQueue): Promise<unknown> => pool.query(`analyze sluice.message${queue.suffix}, sluice.queue, sluice.segment, sluice.floor`)

/** From no statistics at all to fresh ones: the order counts, since nothing takes statistics away again. */
const states: [string, (queue: LeafQueue) => Promise<unknown>][] = [
  ["no statistics", (queue) => sendMany(pool, queue.name, 1000)],
  [
    "statistics of an empty queue, after 40,000 messages under a pinned horizon",
    async (queue) => {
      await clear(queue)
      const unpin = await pinHorizon(pool)
      let seconds = 0
      await processMany(pool, queue.name, 40_000, async () => {
        await moveClock(pool, `${++seconds} seconds`)
        await pool.query("select sluice.maintain('0', 0, 1000000000, '1 hour')")
      })
      await analyze(queue)
      await unpin()
      await sendMany(pool, queue.name, 100)
    },
  ],
  [
    "statistics of 20,000 messages that are gone",
    async (queue) => {
      await clear(queue)
      await insertMany(pool, queue, 20_000, "-1 minute")
      await analyze(queue)
      await client.queue(queue.name).purge()
      await sendMany(pool, queue.name, 100)
    },
  ],
  [
    "fresh statistics of 20,000 messages",
    async (queue) => {
      await clear(queue)
      await insertMany(pool, queue, 20_000, "-1 minute")
      await analyze(queue)
    },
  ],
]

const missing = await explainerMissing(url)
const nesting = missing === undefined ? "" : `: skipped, ${missing}`

const major = Number.parseInt(inject("serverVersion"), 10)

describe.skipIf(missing).each([["shared", shared], ["dedicated", dedicated]] as const)(`in a %s storage${nesting}`, (_, queue) => {
  test.each(states)("every statement uses the index that it should, with %s", async (_what, prepare) => {
    await setLive(queue, "{0}")
    await prepare(queue)
    const plans = await plansOf(queue)
    expect(used(plans)).toEqual(pinned(queue, [0]))
    expectFloorSearched(plans)
    await setLive(queue, "{0,1}")
    const both = await plansOf(queue)
    expect(used(both)).toEqual(pinned(queue, [0, 1]))
    expectFloorSearched(both)
  })
})

/** The floor is where the scan of the index starts, not what its rows are compared with. */
function expectFloorSearched(plans: Record<string, Scan[]>): void {
  for (const name of ["read", "pop", "a look for the dead"]) {
    const scans = plans[name]!.filter(({ by }) => by.endsWith("(queue, priority, vt)"))
    expect(scans.length).toBeGreaterThan(0)
    for (const { condition, filter } of scans) {
      expect(condition).toMatch(/vt >= COALESCE\(/i)
      expect(filter).not.toMatch(/\bvt\b/)
    }
  }
}

describe.skipIf(missing)(`the gate is closed to${nesting}`, () => {
  let queue: LeafQueue

  /** One whose leaf has many pages, and statistics that it was empty. */
  beforeAll(async () => {
    queue = await unvacuumedQueue(database, "dedicated")
    await insertMany(pool, queue, 5000, "-1 minute")
    await client.queue(queue.name).purge()
    await analyze(queue)
    await sendMany(pool, queue.name, 100)
    expect(used(await plansOf(queue))).toEqual(pinned(queue, [0]))
  })

  test.runIf(major >= 17)("a join in place of the array", async () => {
    await withBroken(pool, `try_delete${queue.suffix}`, "m.id = any (p_ids)", "m.id in (select unnest(p_ids))", async () => {
      expect(used(await plansOf(queue)).delete).not.toEqual(pinned(queue, [0]).delete)
    })
  })

  test.runIf(major < 17)("the array, where the planner may filter by it", async () => {
    await withBroken(pool, "searches_arrays", ">= 170000", "> 0", async () => {
      const { read, pop, delete: deleted, archive, release } = used(await plansOf(queue))
      for (const indexes of [read, pop, deleted, archive, release]) expect(indexes).toContain(`message${queue.suffix}_0_pkey (queue)`)
    })
  })

  test("a floor that rows are compared with", async () => {
    await withBroken(pool, `lock_ready${queue.suffix}`, "m.vt >= coalesce(", "m.vt + interval '0' >= coalesce(", async () => {
      const plans = await plansOf(queue)
      expect(() => expectFloorSearched(plans)).toThrow(/vt >= COALESCE/i)
    })
  })

  test("a function that may scan whole tables", async () => {
    await withBroken(pool, `try_delete${queue.suffix}`, "enable_seqscan TO 'off'", "enable_seqscan TO 'on'", async () => {
      expect(used(await plansOf(queue)).delete).toContain("Seq Scan of queue")
    })
  })
})

/** Leaves of the storage that a transaction of all these has locked. */
async function lockedLeaves(queue: LeafQueue): Promise<string[]> {
  return inTransaction(
    pool,
    async (tx) => {
      const own = client.queue(queue.name)
      await own.send("sent", { tx })
      await own.sendBatch([{ payload: 1 }, { payload: 2 }], { tx })
      const held = await own.readBatch({ limit: 7, tx })
      expect(held).toHaveLength(7)
      await own.deleteBatch(held.slice(0, 2), { tx })
      await own.archiveBatch(held.slice(2, 4), { tx })
      await own.release(held[4]!, { tx })
      await own.setVt(held[5]!, "1m", { tx })
      await own.retry(held[6]!, { tx })
      await own.popBatch({ limit: 2, tx })
      const { rows } = await tx.query("select distinct relation::regclass::text as leaf from pg_locks where pid = pg_backend_pid() and relation = any (array[$1, $2]::regclass[]) order by 1", [...queue.leaves])
      return rows.map(({ leaf }) => leaf)
    },
    { end: "rollback" },
  )
}

test.each([["shared", shared], ["dedicated", dedicated]] as const)("in a %s storage, who sends, claims and settles locks only the segments that are live, so that the other can be truncated", async (_, queue) => {
  const [first, second] = queue.leaves
  await clear(queue)
  for (const [live, leaves] of [["{0}", [first]], ["{0,1}", [first, second]]] as const) {
    await setLive(queue, live)
    await sendMany(pool, queue.name, 20)
    expect(await lockedLeaves(queue), live).toEqual(leaves)
  }
})
