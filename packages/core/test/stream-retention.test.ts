import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"
import { segments } from "./helpers/segments.ts"

const { client, pool } = await harness()
const { freshStream, stored, rotate, turn, settle, publish, drain, later } = segments({ client, pool })
beforeEach(() => later(0))

const HOUR = 3600
const ticksOf = async (name: string): Promise<number[]> =>
  (await pool.query<{ id: number }>("select t.id::int from sluice.tick t join sluice.queue q on q.id = t.stream where q.name = $1 and q.dropped_at is null order by t.id", [name])).rows.map(({ id }) => id)

describe("without subscriptions", () => {
  test("events stay until the segment after theirs is current, and registering works ever after", async () => {
    const name = await freshStream()
    await publish(name, "a")
    expect(await rotate(name)).toBe("nothing")
    expect(await turn(name)).toBe("rotated")
    expect(await stored(name)).toEqual([1, 0, 0])
    expect(await settle(name)).toEqual(["truncated", "nothing"])
    for (let round = 0; round < 40; round++) {
      await client.admin.forceTick(name)
      await publish(name, `b${round}`)
      await turn(name)
      await settle(name)
    }
    // PgQ loses all of its ticks here.
    const ticks = await ticksOf(name)
    expect(ticks.length).toBeGreaterThanOrEqual(20)
    expect(ticks.length).toBeLessThan(30)
    await client.admin.createSubscription(name, "latest")
    await client.admin.createSubscription(name, "earliest", { from: "earliest" })
    await client.admin.createSubscription(name, "tick", { from: { tick: String(ticks[0]) } })
    await publish(name, "c")
    expect(await drain(name, "latest")).toEqual(["c"])
    expect(await drain(name, "earliest")).toEqual(["c"])
    expect(await drain(name, "tick")).toEqual(["c"])
    expect(await errorOf(client.admin.createSubscription(name, "gone", { from: { tick: "1" } }))).toMatchObject({ code: "tick_not_found" })
  })

  test("an empty stream is never rotated", async () => {
    const name = await freshStream()
    expect(await turn(name)).toBe("nothing")
    expect(await turn(name)).toBe("nothing")
    expect((await client.admin.getStreamInfo(name)).segment).toBe(0)
  })
})

describe("retention", () => {
  test("keeps events for who comes later, subscriptions or not", async () => {
    const name = await freshStream({ retention: "1d", rotationPeriod: "1h" })
    await client.admin.createSubscription(name, "now")
    await publish(name, "a")
    await client.admin.forceTick(name)
    expect(await drain(name, "now")).toEqual(["a"])
    await later(HOUR)
    expect(await rotate(name)).toBe("rotated")
    expect(await rotate(name)).toBe("kept")
    await later(23 * HOUR)
    expect(await rotate(name)).toBe("kept")
    await client.admin.createSubscription(name, "replay", { from: "earliest" })
    expect(await drain(name, "replay")).toEqual(["a"])
    await client.admin.reposition(name, "now", { to: "earliest" })
    expect(await drain(name, "now")).toEqual(["a"])
    // A day after the segment was left, not after it was begun.
    await later(HOUR + 1)
    expect(await settle(name)).toEqual(["truncated", "nothing"])
    await client.admin.createSubscription(name, "too.late", { from: "earliest" })
    expect(await drain(name, "too.late")).toEqual([])
  })

  test("three segments hold it up where the period is shorter than its third part", async () => {
    const name = await freshStream({ retention: "1d", rotationPeriod: "1h" })
    for (const text of ["a", "b", "c"]) {
      await publish(name, text)
      await later(HOUR + 1)
      await rotate(name)
    }
    expect(await stored(name)).toEqual([1, 1, 1])
    await later(20 * HOUR)
    expect(await rotate(name)).toBe("kept")
    await publish(name, "d")
    expect(await stored(name)).toEqual([1, 1, 2])
    await later(3 * HOUR)
    expect(await rotate(name)).toBe("rotated")
    expect(await stored(name)).toEqual([0, 1, 2])
  })

  test("a time means the last tick before it; before the first one, all that is stored", async () => {
    const name = await freshStream({ retention: "1d" })
    const now = async (): Promise<Date> => (await pool.query<{ now: Date }>("select sluice.clock() as now")).rows[0]!.now
    const start = new Date((await now()).getTime() - 1000)
    await publish(name, "a")
    await later(60)
    await client.admin.forceTick(name)
    await publish(name, "b")
    await later(60)
    const middle = await now()
    await publish(name, "c")
    await later(60)
    await client.admin.forceTick(name)
    await publish(name, "d")
    const from = async (subscription: string, time: Date): Promise<unknown[]> => {
      await client.admin.createSubscription(name, subscription, { from: { time } })
      return drain(name, subscription)
    }
    expect(await from("start", start)).toEqual(["a", "b", "c", "d"])
    expect(await from("middle", middle)).toEqual(["b", "c", "d"])
    expect(await from("end", await now())).toEqual(["d"])
  })
})

test("the first event ever is counted, and delivered", async () => {
  const name = await freshStream()
  await client.admin.createSubscription(name, "reader")
  expect(await client.admin.getStreamInfo(name)).toMatchObject({ published: 0, newEvents: 0 })
  await publish(name, "first")
  // PgQ's fresh sequence reads 1 before it and after it.
  expect(await client.admin.getStreamInfo(name)).toMatchObject({ published: 1, newEvents: 1 })
  await later(4)
  expect(await client.maintenance().run()).toMatchObject({ ran: true })
  expect(await client.admin.getStreamInfo(name)).toMatchObject({ published: 1, newEvents: 0, lastTick: "2" })
  expect(await drain(name, "reader")).toEqual(["first"])
})
