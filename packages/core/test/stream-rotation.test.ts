import { beforeEach, describe, expect, test } from "vitest"
import { harness, inTransaction } from "./helpers/harness.ts"
import { segments } from "./helpers/segments.ts"
import { withBroken } from "./helpers/with-broken.ts"

const { client, pool } = await harness()
const { freshStream, stored, rotate, turn, settle, publish, next, drain, table, later } = segments({ client, pool })

/** A stream with two subscriptions and an event. */
async function begun(): Promise<string> {
  const name = await freshStream()
  for (const subscription of ["slow", "fast"]) await client.admin.createSubscription(name, subscription)
  await publish(name, "a")
  return name
}
beforeEach(() => later(0))

describe("a segment is emptied when every subscription has done with it, and not before", () => {
  test("one that lags behind holds it, and reads everything when it comes", async () => {
    const name = await begun()
    expect(await rotate(name), "before its period is over").toBe("nothing")
    expect(await turn(name)).toBe("rotated")
    await publish(name, "b")
    expect(await drain(name, "fast")).toEqual(["a", "b"])
    expect(await turn(name)).toBe("rotated")
    await publish(name, "c")
    // The third segment is next to be written, and the first is not empty: no further.
    expect(await turn(name)).toBe("held")
    expect(await turn(name)).toBe("held")
    expect((await client.admin.getStreamInfo(name)).heldBy).toEqual(["slow"])
    expect(await stored(name)).toEqual([1, 1, 1])
    expect(await drain(name, "slow")).toEqual(["a", "b", "c"])
    expect(await drain(name, "fast")).toEqual(["c"])
    expect(await settle(name)).toEqual(["rotated", "truncated", "truncated", "nothing"])
    expect(await stored(name)).toEqual([0, 0, 0])
    await publish(name, "d")
    expect(await drain(name, "slow")).toEqual(["d"])
  })

  test("both steps at once lose nothing", async () => {
    const name = await begun()
    await drain(name, "fast")
    await turn(name)
    await publish(name, "b")
    await turn(name)
    await publish(name, "c")
    await inTransaction(pool, async (tx) => {
      const open = await tx.query("select sluice.insert_event($1, 'said', '\"late\"')", [name])
      expect(open.rowCount).toBe(1)
      await drain(name, "slow")
      await drain(name, "fast")
      await later(3 * 3600)
      // Empties the first segment and makes it current, in one transaction, beside one that writes.
      expect(await rotate(name)).toBe("rotated")
      expect((await stored(name))[0]).toBe(0)
    })
    await publish(name, "d")
    expect(await drain(name, "slow")).toEqual(["late", "d"])
    expect(await drain(name, "fast")).toEqual(["late", "d"])
  })

  test("an open batch holds it, read or not, until it ends", async () => {
    const name = await begun()
    await drain(name, "slow")
    const batch = (await next(name, "fast"))!
    expect(await turn(name)).toBe("rotated")
    expect(await rotate(name)).toBe("held")
    expect((await batch.list()).map(({ data }) => data)).toEqual(["a"])
    await batch.finish()
    expect(await rotate(name)).toBe("truncated")
  })

  test("so does one that was finished in a transaction which has not committed", async () => {
    const name = await begun()
    await drain(name, "slow")
    const batch = (await next(name, "fast"))!
    await turn(name)
    await client.transaction(async (tx) => {
      await batch.finish({ tx })
      expect(await rotate(name)).toBe("held")
    })
    expect(await rotate(name)).toBe("truncated")
  })

  test("so do the slices that are left of a window, and batches of members before the last", async () => {
    const name = await freshStream()
    await client.admin.createSubscription(name, "team")
    await publish(name, "a", "b", "c", "d")
    const member = () => client.stream(name).subscription("team", { member: true })
    const first = (await member().nextBatch({ maxEvents: 2 }))!
    const second = (await member().nextBatch({ maxEvents: 2 }))!
    await second.finish()
    await turn(name)
    expect(await rotate(name)).toBe("held")
    await first.finish()
    expect(await rotate(name)).toBe("truncated")

    await publish(name, "e", "f", "g")
    const only = (await next(name, "team", 2))!
    await only.finish()
    await turn(name)
    expect(await rotate(name)).toBe("held")
    expect(await drain(name, "team")).toEqual(["g"])
    expect(await rotate(name)).toBe("truncated")
  })

  test("an event to be retried does not hold it: it is a copy", async () => {
    const name = await begun()
    await drain(name, "slow")
    const batch = (await next(name, "fast"))!
    for (const event of await batch.list()) batch.retry(event, { delay: "1m" })
    await batch.finish()
    await turn(name)
    expect(await rotate(name)).toBe("truncated")
    await later(60)
    expect(await drain(name, "fast")).toEqual(["a"])
  })

  test.each([
    ["open batches", /\* coalesce\(\(select range_intersect_agg[^]*?b\.seen\)\s+from/g, "from", ["a"]],
    ["slices", /\* coalesce\(\(select base from slice[^]*?b\.seen\)/g, "", ["a", "b"]],
  ])("which would be lost without a look at %s", async (_, from, to, events) => {
    await withBroken(pool, "done_up_to", from, to, async () => {
      const name = await freshStream()
      await client.admin.createSubscription(name, "reader")
      await publish(name, ...events)
      const batch = (await next(name, "reader", 1))!
      if (events.length > 1) await batch.finish()
      await turn(name)
      expect(await rotate(name)).toBe("truncated")
    })
  })
})

describe("what PgQ loses, a transaction with a snapshot older than rotations and an id younger than they", () => {
  test.each(["repeatable read", "serializable"])("is delivered: %s", async (level) => {
    const name = await begun()
    await drain(name, "slow")
    await drain(name, "fast")
    await inTransaction(pool, async (tx) => {
      await tx.query("select from sluice.queue limit 1") // its snapshot, no id
      expect(await turn(name)).toBe("rotated")
      await publish(name, "b")
      expect(await drain(name, "slow")).toEqual(["b"])
      expect(await drain(name, "fast")).toEqual(["b"])
      expect(await settle(name)).toEqual(["truncated", "nothing"])
      expect(await turn(name)).toBe("rotated")
      expect(await settle(name)).toEqual(["truncated", "nothing"])
      await client.stream(name).publish("said", "old", { tx })
      // Into the segment that its snapshot says, which has long been emptied.
      expect((await tx.query(`select segment from ${await table(name)} where data = '"old"'`)).rows).toEqual([{ segment: 0 }])
      expect(await rotate(name)).toBe("refused")
    }, { begin: `begin isolation level ${level}` })
    expect(await rotate(name)).toBe("held")
    await publish(name, "c")
    expect(await drain(name, "slow")).toEqual(["old", "c"])
    expect(await drain(name, "fast")).toEqual(["old", "c"])
    expect(await settle(name)).toEqual(["truncated", "nothing"])
  })
})
