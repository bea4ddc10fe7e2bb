import type { Partition } from "@sluice/core"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
const maintenance = client.maintenance()
beforeEach(() => moveClock(pool, "0"))
// A round looks after every queue there is, and its report counts them all.
afterEach(async () => {
  for (const { name } of await client.admin.listQueues()) await client.admin.dropQueue(name, { force: true })
  await pool.query("delete from sluice.archive")
})

const DAY = 86_400_000

/** Partitions of a table by name, without its own, with how many rows each holds. */
async function partitions(table: string): Promise<Record<string, number>> {
  const { rows } = await pool.query<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = $1::regclass`,
    [`sluice.${table}`],
  )
  const counts = await Promise.all(rows.map(async ({ name }) => (await pool.query(`select count(*)::int as n from sluice.${name}`)).rows[0].n as number))
  const entries = rows.map(({ name }, i) => [name.slice(table.length + 1), counts[i]!] as const)
  return Object.fromEntries(entries.sort(([a], [b]) => a.length - b.length || a.localeCompare(b)))
}

async function storageOf(name: string): Promise<number> {
  return (await pool.query("select storage from sluice.queue where name = $1", [name])).rows[0].storage as number
}

async function partitioned(partition: Partition): Promise<{ name: string; messages: string; archive: string }> {
  const name = await freshQueue({ partition })
  const storage = await storageOf(name)
  return { name, messages: `message_s${storage}_0`, archive: `archive_s${storage}` }
}

async function send(name: string, count: number): Promise<void> {
  await client.queue(name).sendBatch(Array.from({ length: count }, (_, i) => ({ payload: i })))
}

async function settle(name: string, count: number, way: "deleteBatch" | "archiveBatch" = "deleteBatch"): Promise<void> {
  const messages = await client.queue(name).readBatch({ limit: count })
  expect((await client.queue(name)[way](messages)).settled).toHaveLength(count)
}

describe("partitions by id (PGMQ: create_partitioned_queue(name, 10000, 100000), without pg_partman)", () => {
  test("are there before the first message, and hold as many messages as the interval says", async () => {
    const { name, messages } = await partitioned({ by: "id", interval: 10, retention: 20 })
    expect(await partitions(messages)).toEqual({ p0: 0, p1: 0, p2: 0, default: 0 })
    await send(name, 25)
    expect(await partitions(messages)).toEqual({ p0: 10, p1: 10, p2: 5, default: 0 })
    await maintenance.run()
    expect(await partitions(messages)).toMatchObject({ p0: 10, p1: 10, p2: 5, p3: 0, p4: 0, default: 0 })
  })

  test("go when they are past and empty, and nothing unread goes with them", async () => {
    const { name, messages } = await partitioned({ by: "id", interval: 10, retention: 20 })
    await send(name, 28)
    await settle(name, 12)
    expect(await maintenance.run()).toMatchObject({ partitionsDropped: 1, unreadDropped: 0 })
    expect(await partitions(messages)).toMatchObject({ p1: 8, p2: 8, p3: 0, p4: 0, default: 0 })
    expect(await partitions(messages)).not.toHaveProperty("p0")
    await send(name, 22)
    await maintenance.run()
    await send(name, 10)
    expect(await maintenance.run()).toMatchObject({ partitionsDropped: 0, unreadDropped: 0 })
    expect((await client.queue(name).metrics()).length).toBe(48)
    await settle(name, 48)
  })

  test("go with what is unread once so many were sent after them, where the queue says so, and the report counts it", async () => {
    const { name, messages } = await partitioned({ by: "id", interval: 10, retention: 20, unread: "drop" })
    await send(name, 25)
    await settle(name, 3)
    expect(await maintenance.run()).toMatchObject({ partitionsDropped: 0, unreadDropped: 0 })
    await send(name, 8)
    expect(await maintenance.run()).toMatchObject({ partitionsDropped: 1, unreadDropped: 7 })
    expect(await partitions(messages)).toMatchObject({ p1: 10, p2: 10, p3: 3 })
    expect(await client.queue(name).read()).toMatchObject({ payload: 10 })
  })

  test("beyond those made ahead fall into the default one, and are moved out of it when nobody writes there any more", async () => {
    const { name, messages } = await partitioned({ by: "id", interval: 10, retention: 1000 })
    await send(name, 55)
    expect(await partitions(messages)).toEqual({ p0: 10, p1: 10, p2: 10, default: 25 })
    const held = (await client.queue(name).readBatch({ limit: 40 })).at(-1)!
    expect(await maintenance.run()).toMatchObject({ rowsMoved: 20, refused: 0 })
    // Five were used up since the last look: from now on ten are made ahead.
    expect(await partitions(messages)).toMatchObject({ p0: 10, p1: 10, p2: 10, p3: 10, p4: 10, p6: 0, p15: 0, default: 5 })
    expect(await partitions(messages)).not.toHaveProperty("p16")
    await client.queue(name).delete(held)
    expect((await client.queue(name).readBatch({ limit: 100 })).map(({ payload }) => payload)).toEqual(Array.from({ length: 15 }, (_, i) => 40 + i))
  })

  test("take in the dead of other queues, whose ids are not theirs, and never drop them by id", async () => {
    const { name, messages } = await partitioned({ by: "id", interval: 10, retention: 10, unread: "drop" })
    const other = await freshQueue({ maxAttempts: 1, deadLetter: name })
    await client.queue(other).send("dies")
    expect(await client.queue(other).retry((await client.queue(other).read())!, { error: "no" })).toMatchObject({ outcome: "dead" })
    await send(name, 60)
    await maintenance.run()
    expect((await partitions(messages)).default).toBeGreaterThan(0)
    expect((await client.queue(name).readBatch({ limit: 100 })).map(({ payload }) => payload)).toContain("dies")
    expect(await client.admin.messages.list({ queue: name })).toMatchObject({ items: expect.arrayContaining([expect.objectContaining({ origin: other })]) })
  })
})

describe("partitions by time", () => {
  test("hold what was sent in their time, and go once their end is past by the retention", async () => {
    const { name, messages } = await partitioned({ by: "time", interval: "1d", retention: "7d", unread: "drop" })
    const today = Math.floor(Date.now() / DAY)
    await send(name, 3)
    expect(await partitions(messages)).toEqual({ [`p${today}`]: 3, [`p${today + 1}`]: 0, [`p${today + 2}`]: 0, default: 0 })
    await moveClock(pool, "2 days")
    await send(name, 2)
    await maintenance.run()
    expect(await partitions(messages)).toEqual({ [`p${today}`]: 3, [`p${today + 2}`]: 2, [`p${today + 3}`]: 0, [`p${today + 4}`]: 0, default: 0 })
    await moveClock(pool, "8 days")
    expect(await maintenance.run()).toMatchObject({ unreadDropped: 3 })
    expect((await client.queue(name).metrics()).length).toBe(2)
  })

  test("keep working 30 days after the last maintenance: send, read, settle and archive, then everything is put in its place", async () => {
    const { name, messages, archive } = await partitioned({ by: "time", interval: "1d", retention: "90d", archive: true })
    const shared = await freshQueue()
    const today = Math.floor(Date.now() / DAY)
    for (const [days, queue] of [[30, name], [30, shared], [31, name], [31, shared]] as const) {
      await moveClock(pool, `${days} days`)
      await send(queue, 4)
      await settle(queue, 2, "archiveBatch")
    }
    expect(await partitions(messages)).toMatchObject({ default: 4 })
    expect(await partitions(archive)).toMatchObject({ default: 4 })
    await moveClock(pool, "33 days")
    expect(await maintenance.run()).toMatchObject({ rowsMoved: 4 + 4 + 4, refused: 0, unreadDropped: 0, archivedDropped: 0 })
    expect(await partitions(messages)).toMatchObject({ [`p${today + 31}`]: 4, [`p${today + 33}`]: 0, default: 0 })
    expect(await partitions(archive)).toMatchObject({ [`p${today + 30}`]: 2, [`p${today + 31}`]: 2, default: 0 })
    expect(await partitions("archive")).toMatchObject({ [`p${today + 30}`]: 2, [`p${today + 31}`]: 2, default: 0 })
    expect(await client.admin.archive.count({ queue: name })).toBe(4)
    await settle(name, 4)
    await settle(shared, 4)
  })

  test("of the archive are dropped by the same retention where it is partitioned alike", async () => {
    const { name, archive } = await partitioned({ by: "time", interval: "1h", retention: "2h", archive: true })
    await send(name, 3)
    await settle(name, 2, "archiveBatch")
    await moveClock(pool, "4 hours")
    expect(await maintenance.run()).toMatchObject({ archivedDropped: 2, unreadDropped: 0 })
    expect(await client.admin.archive.count({ queue: name })).toBe(0)
    expect(Object.keys(await partitions(archive))).toHaveLength(4)
    expect((await client.queue(name).metrics()).length).toBe(1)
  })
})

describe("a partition that is made", () => {
  test.each([{ by: "id", interval: 10, retention: 100 }, { by: "time", interval: "1d", retention: "7d" }] as const)(
    "by $by while somebody sends and archives: he waits for it, and is not refused",
    async (partition) => {
      const { name, messages } = await partitioned(partition)
      const queue = client.queue(name)
      await send(name, 31)
      const held = (await queue.read({ lease: "2d" }))!
      if (partition.by === "time") await moveClock(pool, "1 day")
      const { rows } = await pool.query<{ step: string; parent: string; n: string }>(
        "select * from sluice.partition_steps() where step = 'make' and parent = any (array[$1, 'archive'])", [messages])
      expect(rows.length).toBeGreaterThan(0)
      const waiting: Promise<unknown>[] = []
      await inTransaction(pool, async (tx) => {
        for (const { step, parent, n } of rows) await tx.query("select sluice.partition_step($1, $2, $3)", [step, parent, n])
        waiting.push(send(name, 30), queue.archive(held))
        await new Promise((resolve) => setTimeout(resolve, 200))
      })
      await Promise.all(waiting)
      expect((await queue.metrics()).length).toBe(60)
    },
  )
})

describe("a dedicated queue that is being dropped, while a transaction holds it", () => {
  test("keeps nobody waiting but those who use it: metrics of all, lists and maintenance pass it by", async () => {
    const name = await freshQueue({ storage: "dedicated" })
    const other = await freshQueue({ storage: "dedicated" })
    let drop: Promise<boolean> | undefined
    await inTransaction(pool, async (tx) => {
      await client.queue(name).send(1, { tx })
      drop = client.admin.dropQueue(name, { force: true })
      for (let i = 0; i < 100; i++) {
        const { rowCount } = await pool.query("select from pg_locks where locktype = 'advisory' and not granted")
        if (rowCount === 1) break
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      expect((await client.admin.metricsAll()).map((metrics) => metrics.name)).toEqual([other])
      expect((await client.admin.messages.list()).items).toEqual([])
      expect(await maintenance.run()).toMatchObject({ ran: true })
    })
    expect(await drop).toBe(true)
  })
})

describe("a drop of a partition", () => {
  test("asks for its lock for 50 ms, and comes again", async () => {
    const { name, messages } = await partitioned({ by: "id", interval: 10, retention: 20 })
    await send(name, 15)
    await settle(name, 10)
    await inTransaction(pool, async (tx) => {
      await tx.query(`select 1 from sluice.${messages} limit 1`)
      expect(await maintenance.run()).toMatchObject({ partitionsDropped: 0, refused: expect.any(Number) })
      await send(name, 1)
      expect(await client.queue(name).read()).toMatchObject({ payload: 10 })
    })
    expect(await maintenance.run()).toMatchObject({ partitionsDropped: 1, refused: 0 })
  })

  test("sees what a transaction commits while it waits for the lock", async () => {
    const { name, messages } = await partitioned({ by: "time", interval: "1d", retention: "1d" })
    await moveClock(pool, "1 day")
    await maintenance.run()
    await moveClock(pool, "0")
    await inTransaction(pool, async (tx) => {
      await client.queue(name).send("late", { tx })
      await moveClock(pool, "5 days")
      expect(await maintenance.run()).toMatchObject({ unreadDropped: 0 })
    })
    expect(await maintenance.run()).toMatchObject({ unreadDropped: 0 })
    expect(Object.values(await partitions(messages)).reduce((a, b) => a + b)).toBe(1)
    expect(await client.queue(name).read()).toMatchObject({ payload: "late" })
  })
})

describe("the shared archive", () => {
  test("drops a day once every queue in it keeps it no longer, and only what is over of other days", async () => {
    const brief = await freshQueue({ archiveRetention: "2d" })
    const longer = await freshQueue({ archiveRetention: "10d" })
    const forever = await freshQueue()
    const archive = async (name: string, days: number): Promise<void> => {
      await moveClock(pool, `${days} days`)
      await maintenance.run()
      await send(name, 3)
      await settle(name, 3, "archiveBatch")
    }
    await archive(brief, 100)
    await archive(brief, 101)
    await archive(longer, 101)
    await archive(brief, 102)
    await archive(forever, 102)
    await moveClock(pool, "101 days 23 hours")
    expect(await maintenance.run()).toMatchObject({ archivedDropped: 0 })
    await moveClock(pool, "106 days")
    expect(await maintenance.run()).toMatchObject({ archivedDropped: 9 })
    const counts = async () => Promise.all([brief, longer, forever].map((queue) => client.admin.archive.count({ queue })))
    expect(await counts()).toEqual([0, 3, 3])
    await moveClock(pool, "120 days")
    expect(await maintenance.run()).toMatchObject({ archivedDropped: 3 })
    expect(await counts()).toEqual([0, 0, 3])
  })

  test("keeps the archive of a dropped queue as long as that said", async () => {
    const name = await freshQueue({ archiveRetention: "1d" })
    await send(name, 2)
    await settle(name, 2, "archiveBatch")
    await client.admin.dropQueue(name, { keepArchive: true })
    expect(await client.admin.archive.count({ queue: name })).toBe(2)
    await moveClock(pool, "3 days")
    await maintenance.run()
    expect(await client.admin.archive.count({ queue: name })).toBe(0)
  })
})

test("verify names what is missing or changed in a dedicated storage", async () => {
  const ring = await storageOf(await freshQueue({ storage: "dedicated" }))
  const ranges = await storageOf(await freshQueue({ partition: { by: "id", interval: 10, retention: 20 } }))
  const differences = async () => (await client.admin.verify()).differences.filter((line) => !line.startsWith("function clock()"))
  await pool.query("create or replace function sluice.clock() returns timestamptz language sql volatile as 'select clock_timestamp()'")
  expect(await differences()).toEqual([])
  await pool.query(`drop index sluice.message_s${ring}_claim`)
  await pool.query(`drop table sluice.message_s${ranges}_0_default`)
  await pool.query(`drop function sluice.try_pop_s${ring}`)
  await pool.query(`alter function sluice.try_read_s${ranges} reset enable_seqscan`)
  expect(await differences()).toEqual([
    `index message_s${ring}_claim: missing`,
    expect.stringMatching(`function try_pop_s${ring}\\(.*\\): missing`),
    `table message_s${ranges}_0_default: missing`,
    expect.stringMatching(`function try_read_s${ranges}\\(.*\\): is not as its like of the shared storage`),
  ])
})

describe("dropQueue", () => {
  test.each([{ storage: "dedicated" }, { storage: "unlogged" }, { partition: { by: "id", interval: 10, retention: 20, archive: true } }] as const)(
    "of %o leaves nothing behind, or its archive where that is wanted",
    async (options) => {
      const remains = async (storage: number) =>
        (await pool.query(
          `select relname::text from pg_class where relnamespace = 'sluice'::regnamespace and relname ~ $1
           union all select proname::text from pg_proc where pronamespace = 'sluice'::regnamespace and proname ~ $1`,
          [`_s${storage}(_|$)`],
        )).rows.map(({ relname }) => relname as string)
      for (const keepArchive of [false, true]) {
        const name = await freshQueue(options)
        const storage = await storageOf(name)
        await send(name, 5)
        await settle(name, 2, "archiveBatch")
        expect((await remains(storage)).length).toBeGreaterThan(10)
        expect(await client.admin.dropQueue(name, { keepArchive })).toBe(true)
        expect((await remains(storage)).filter((relation) => !keepArchive || !relation.startsWith("archive_s"))).toEqual([])
        expect(await client.admin.archive.count({ queue: name })).toBe(keepArchive ? 2 : 0)
        expect(await maintenance.run()).toMatchObject({ ran: true, refused: 0 })
      }
      expect((await client.admin.verify()).differences.filter((line) => !line.startsWith("function clock()"))).toEqual([])
    },
  )
})
