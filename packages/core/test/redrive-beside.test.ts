import { beforeEach, describe, expect, test } from "vitest"
import { flipDuring, flipState, flipStep, flipUntil, makeFlipPay } from "./helpers/flip.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
const { admin } = client
beforeEach(async () => {
  await moveClock(pool, "0")
  await pool.query("delete from sluice.message")
})

/** A queue of which so many messages lie dead, in its dead-letter queue or the archive. */
async function dead(count: number, place: "deadLetter" | "archive"): Promise<{ name: string; lies: string | null; ids: string[] }> {
  const lies = place === "archive" ? null : await freshQueue()
  const name = await freshQueue({ deadLetter: lies, maxAttempts: 1, backoff: null })
  const queue = client.queue(name)
  const ids = await queue.sendBatch(Array.from({ length: count }, (_, payload) => ({ payload })))
  for (const message of await queue.readBatch({ limit: count })) await queue.release(message)
  while ((await admin.metrics(name)).length > 0) expect(await queue.readBatch({ limit: count })).toEqual([])
  return { name, lies, ids }
}

const idsOf = (messages: readonly { id: string }[]): string[] => messages.map(({ id }) => id)
const ascending = (ids: readonly string[]): string[] => ids.toSorted((a, b) => Number(a) - Number(b))

describe.each(["deadLetter", "archive"] as const)("from the %s", (place) => {
  test("eight redrives at once, over and over, bring back each message once", async () => {
    const { name, lies, ids } = await dead(300, place)
    const came = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const mine: string[] = []
        for (let none = 0; none < 2; ) {
          const found = idsOf(await admin.redrive(name, { limit: 17 }))
          mine.push(...found)
          none = found.length === 0 ? none + 1 : 0
        }
        return mine
      }),
    )
    expect(ascending(came.flat())).toEqual(ids)
    expect((await client.queue(name).readBatch({ limit: 1000 })).map(({ attempt }) => attempt)).toEqual(ids.map(() => 1))
    if (lies !== null) expect((await admin.metrics(lies)).length).toBe(0)
    expect(await admin.archive.count({ queue: name })).toBe(0)
  })

  test("a redrive beside an open one neither waits for it nor takes what that took", async () => {
    const { name, ids } = await dead(5, place)
    await inTransaction(pool, async (tx) => {
      expect(idsOf(await admin.redrive(name, { limit: 3, tx }))).toEqual(ids.slice(0, 3))
      expect(idsOf(await admin.redrive(name, { ids }))).toEqual(ids.slice(3))
    }, { end: "rollback" })
    expect(idsOf(await admin.redrive(name))).toEqual(ids.slice(0, 3))
  })

  test("in the caller's transaction it comes back with the commit, or never was", async () => {
    const { name, ids } = await dead(3, place)
    for (const end of ["rollback", "commit"] as const) {
      await inTransaction(pool, async (tx) => {
        expect(idsOf(await admin.redrive(name, { tx }))).toEqual(ids)
        expect(await client.queue(name).readBatch({ limit: 5 })).toEqual([])
      }, { end })
      expect(idsOf(await admin.redrive(name, { preview: true }))).toEqual(end === "commit" ? [] : ids)
    }
    expect(idsOf(await client.queue(name).readBatch({ limit: 5 }))).toEqual(ids)
  })

  test.each(["repeatable read", "serializable"])("a transaction in %s sees each message in one place, before, and redrives what it sees", async (level) => {
    const { name, lies, ids } = await dead(4, place)
    const places = `select (select count(*)::int from sluice.message m join sluice.queue q on q.id = m.queue where q.name = $1) as back,
      (select count(*)::int from sluice.message m join sluice.queue q on q.id = m.queue where q.name = $2) + (select count(*)::int from sluice.archive a join sluice.queue q on q.id = a.queue where q.name = $1) as dead`
    await inTransaction(pool, async (tx) => {
      expect((await tx.query(places, [name, lies])).rows).toEqual([{ back: 0, dead: 4 }])
      expect(idsOf(await admin.redrive(name, { limit: 2 }))).toEqual(ids.slice(0, 2))
      expect((await tx.query(places, [name, lies])).rows).toEqual([{ back: 0, dead: 4 }])
      expect(idsOf(await admin.redrive(name, { preview: true, tx }))).toEqual(ids)
      expect(idsOf(await admin.redrive(name, { ids: ids.slice(2), tx }))).toEqual(ids.slice(2))
    }, { begin: `begin isolation level ${level}` })
    expect(idsOf(await client.queue(name).readBatch({ limit: 5 })).toSorted()).toEqual(ids.toSorted())
  })

  test("it wakes who waits for a message with its commit, and a preview, a rollback or none that came back does not", async () => {
    const { name } = await dead(1, place)
    const heard: unknown[] = []
    const listener = await pool.connect()
    listener.on("notification", ({ payload }) => heard.push(payload))
    await listener.query("listen sluice_wake")
    await admin.redrive(name, { preview: true })
    await inTransaction(pool, (tx) => admin.redrive(name, { tx }), { end: "rollback" })
    expect(await admin.redrive(name)).toHaveLength(1)
    expect(await admin.redrive(name)).toEqual([])
    // Notices of other transactions come with the next answer.
    await expect.poll(async () => (await listener.query("select 1"), heard)).toEqual([name])
    await listener.query("unlisten sluice_wake")
    listener.removeAllListeners("notification")
    listener.release()
  })
})

describe("while a flip moves", () => {
  async function ready(): Promise<Awaited<ReturnType<typeof dead>>> {
    const made = await dead(6, "deadLetter")
    await makeFlipPay(pool)
    return made
  }

  test.each(["begun", "moved", "drained", "truncated"])("a redrive after the step that has %s finds all, and puts them where they are read", async (last) => {
    const { name, ids } = await ready()
    expect((await flipUntil(pool, last)).at(-1)).toBe(last)
    expect(idsOf(await admin.redrive(name, { preview: true }))).toEqual(ids)
    expect(idsOf(await admin.redrive(name, { limit: 2 }))).toEqual(ids.slice(0, 2))
    await flipUntil(pool, "truncated")
    expect(idsOf(await admin.redrive(name))).toEqual(ids.slice(2))
    expect(idsOf(await client.queue(name).readBatch({ limit: 9 }))).toHaveLength(6)
  })

  test.each(["commit", "rollback"] as const)("a redrive waits for the step that holds what it looks for, and finds it in either segment (%s)", async (end) => {
    const { name, ids } = await ready()
    await flipUntil(pool, "begun")
    let found: Promise<string[]> | undefined
    await inTransaction(pool, async (tx) => {
      // All that others have left in the segment is in the same step.
      expect((await flipStep(tx)).did).toBe("moved")
      expect(idsOf(await admin.redrive(name, { preview: true }))).toEqual(ids)
      found = admin.redrive(name).then(idsOf)
      await expect.poll(async () => (await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount).toBe(1)
    }, { end })
    expect(await found).toEqual(ids)
    await flipUntil(pool, "truncated")
    expect(await admin.redrive(name)).toEqual([])
    expect(idsOf(await client.queue(name).readBatch({ limit: 9 }))).toHaveLength(6)
    expect(await flipState(pool)).toMatchObject({ left: 0 })
  })

  test("a redrive that waited for a segment that is emptied meanwhile finds what was in it", async () => {
    const { name, ids } = await ready()
    let found: string[] = []
    await flipUntil(pool, "begun")
    await flipDuring(pool, async () => (found = idsOf(await admin.redrive(name))))
    expect(found).toEqual(ids)
    await flipUntil(pool, "truncated")
  })

  test("what a redrive has brought back and not committed is moved along when it is", async () => {
    const { name, ids } = await ready()
    await inTransaction(pool, async (tx) => {
      expect(idsOf(await admin.redrive(name, { tx }))).toEqual(ids)
      expect((await flipUntil(pool, "drained")).at(-1)).toBe("waits")
    })
    await flipUntil(pool, "truncated")
    expect(idsOf(await client.queue(name).readBatch({ limit: 9 }))).toHaveLength(6)
  })
})

describe("a note that a message is to be cancelled", () => {
  const notes = async (): Promise<number> => (await pool.query("select from sluice.cancellation")).rowCount!

  test("does not outlive a redrive: what died before it was seen comes back to stay", async () => {
    const name = await freshQueue({ deadLetter: await freshQueue() })
    const queue = client.queue(name)
    const id = await queue.send(1)
    const held = (await queue.read())!
    await inTransaction(pool, async (tx) => {
      expect(await queue.cancel(id, { tx })).toBe("requested")
      await queue.deadLetter(held) // does not see the note
    })
    expect(await notes()).toBe(1)
    expect(idsOf(await admin.redrive(name))).toEqual([id])
    expect(await notes()).toBe(0)
    expect(await queue.read()).toMatchObject({ id })
  })

  test("of the dead-letter queue, too", async () => {
    const { name, lies, ids } = await dead(1, "deadLetter")
    await client.queue(lies!).read({ lease: "1m" })
    expect(await client.queue(lies!).cancel(ids[0]!)).toBe("requested")
    await moveClock(pool, "61 seconds")
    expect(idsOf(await admin.redrive(name))).toEqual(ids)
    await client.queue(name).deadLetter((await client.queue(name).read())!)
    expect(await client.queue(lies!).read()).toMatchObject({ id: ids[0] })
    expect(await notes()).toBe(0)
  })

  test.each(["read", "pop"] as const)("counts for a message that a %s buries with others: it is cancelled, not dead", async (way) => {
    const name = await freshQueue({ maxAttempts: 1, done: "archive" })
    const queue = client.queue(name)
    const ids = await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
    expect(await queue.readBatch({ limit: 2, lease: "1m" })).toHaveLength(2)
    expect(await queue.cancel(ids[1]!)).toBe("requested")
    await moveClock(pool, "61 seconds")
    expect(await queue[way]()).toBeNull()
    expect(await Promise.all(ids.map(async (id) => (await admin.archive.get(id))!.outcome))).toEqual(["dead", "cancelled"])
    expect(await notes()).toBe(0)
  })
})
