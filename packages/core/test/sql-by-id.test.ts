import { StaleLeaseError } from "@sluice/core"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { sqlOn } from "./helpers/sql-on.ts"

const { client, pool, freshQueue } = await harness()
beforeEach(() => moveClock(pool, "0"))
const { value, rows, fault } = sqlOn(pool)

async function leased(options = {}): Promise<{ name: string; held: { id: string; lease: string } }> {
  const name = await freshQueue(options)
  await client.queue(name).send({ n: 1 }, { headers: { h: 1 } })
  return { name, held: (await client.queue(name).read({ lease: "1h" }))! }
}

describe.each([["shared"], ["dedicated"]] as const)("by id from SQL, in a %s storage", (storage) => {
  test("admin_delete says whether there was such a message, and its holder is stale", async () => {
    const { name, held } = await leased({ storage })
    expect(await value("select sluice.admin_delete($1, $2)", [name, held.id])).toBe(true)
    expect(await value("select sluice.admin_delete($1, $2)", [name, held.id])).toBe(false)
    expect(await value("select sluice.admin_delete($1, null)", [name])).toBe(false)
    expect(await errorOf(client.queue(name).delete(held))).toBeInstanceOf(StaleLeaseError)
  })

  test("admin_archive moves it to the archive, once", async () => {
    const { name, held } = await leased({ storage })
    expect(await value("select sluice.admin_archive($1, $2)", [name, held.id])).toBe(true)
    expect(await value("select sluice.admin_archive($1, $2)", [name, held.id])).toBe(false)
    expect(await client.admin.archive.list({ queue: name })).toMatchObject({ items: [{ id: held.id, outcome: "done", attempt: 1, headers: { h: 1 } }] })
    expect(await errorOf(client.queue(name).archive(held))).toBeInstanceOf(StaleLeaseError)
  })

  test("admin_set_vt answers with the time, or null, and takes the lease away; the past is now", async () => {
    const { name, held } = await leased({ storage })
    const later: Date = await value("select sluice.admin_set_vt($1, $2, '1 hour')", [name, held.id])
    expect(Math.abs(later.getTime() - Date.now() - 3_600_000)).toBeLessThan(60_000)
    expect(await client.admin.messages.get(held.id)).toMatchObject({ state: "delayed", visibleAt: later })
    expect(await errorOf(client.queue(name).extend(held, "1h"))).toBeInstanceOf(StaleLeaseError)
    await value("select sluice.admin_set_vt($1, $2, '-1 hour')", [name, held.id])
    expect(await client.queue(name).read()).toMatchObject({ id: held.id, attempt: 2 })
    expect(await value("select sluice.admin_set_vt($1, 1, '1 hour')", [name])).toBeNull()
  })

  test("an unknown queue is SL001 of all three, and a rollback undoes them", async () => {
    for (const call of ["admin_delete('nowhere', 1)", "admin_archive('nowhere', 1)", "admin_set_vt('nowhere', 1, '1s')"]) {
      expect(await fault("SL001", `select sluice.${call}`)).toMatchObject({ queue: "nowhere" })
    }
    const { name, held } = await leased({ storage })
    for (const call of ["admin_delete($1, $2)", "admin_archive($1, $2)", "admin_set_vt($1, $2, '1s')"]) {
      await inTransaction(pool, (tx) => rows(`select sluice.${call}`, [name, held.id], tx), { end: "rollback" })
    }
    await client.queue(name).delete(held)
  })
})

describe("a write by id and a settle at the same time", () => {
  test.each([["delete"], ["archive"], ["setVt"]] as const)("%s waits for the holder's transaction, and finds nothing when that settled", async (write) => {
    const { name, held } = await leased()
    let writing: Promise<unknown> | undefined
    await inTransaction(pool, async (tx) => {
      await client.queue(name).delete(held, { tx })
      writing = write === "setVt" ? client.admin.messages.setVt(name, held.id, 0) : client.admin.messages[write](name, held.id)
      await new Promise((resolve) => setTimeout(resolve, 100))
    })
    expect(await writing).toEqual(write === "setVt" ? null : [])
    expect(await client.admin.archive.count({ queue: name })).toBe(0)
  })

  test("twenty batches of both over the same messages, in any order, never deadlock, and each message goes once", async () => {
    const name = await freshQueue()
    const queue = client.queue(name)
    const ids = await queue.sendBatch(Array.from({ length: 200 }, (_, payload) => ({ payload })))
    const held = await queue.readBatch({ limit: 200 })
    const shuffled = (): string[] => ids.toSorted(() => Math.random() - 0.5)
    const all = await Promise.all(Array.from({ length: 20 }, async (_, n) => {
      if (n % 3 === 0) return client.admin.messages.delete(name, shuffled())
      if (n % 3 === 1) return client.admin.messages.archive(name, shuffled())
      return (await queue.deleteBatch(held.toReversed())).settled
    }))
    expect(all.flat().toSorted()).toEqual(ids.toSorted())
    expect(await queue.metrics()).toMatchObject({ length: 0 })
  })
})

test("a filter from SQL: headers and payload, each contained, and SQL null is no filter", async () => {
  const name = await freshQueue()
  await client.queue(name).sendBatch([
    { payload: { kind: "a", n: 1 }, headers: { t: "x" } },
    { payload: { kind: "b", n: 2 }, headers: { t: "x" } },
    { payload: { kind: "a", n: 3 } },
    { payload: null },
  ])
  const read = async (filter: object | null): Promise<unknown[]> =>
    (await rows(`select payload from sluice.read($1, "limit" => 9, filter => $2)`, [name, filter])).map(({ payload }) => payload?.n ?? payload)
  expect(await read({ headers: { t: "y" } })).toEqual([])
  expect(await read({ headers: { t: "x" }, payload: { kind: "b" } })).toEqual([2])
  expect(await read({ payload: null })).toEqual([null])
  expect((await rows("select payload from sluice.pop($1, filter => $2)", [name, { headers: { t: "x" } }])).map(({ payload }) => payload.n)).toEqual([1])
  expect(await read(null)).toEqual([3])
})
