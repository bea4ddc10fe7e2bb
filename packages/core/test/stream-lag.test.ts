import { once } from "node:events"
import { type StuckSubscription, SubscriptionExpiredError } from "@sluice/core"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"
import { segments } from "./helpers/segments.ts"
import { withBroken } from "./helpers/with-broken.ts"

const { client, pool } = await harness()
const { freshStream, publish, drain, later, next, turn, rotate, settle, stored } = segments({ client, pool })
beforeEach(() => later(0))

const HOUR = 3600
/** What one round of maintenance says of a stream. */
async function look(name: string): Promise<StuckSubscription[]> {
  const stuck: StuckSubscription[] = []
  await client.maintenance({ onStuck: (one) => stuck.push(one) }).run()
  return stuck.filter(({ stream }) => stream === name)
}
const info = (name: string, subscription = "reader") => client.admin.getSubscriptionInfo(name, subscription)

describe("a subscription that lags behind by more than its limit", () => {
  test.each([
    ["age", { age: "1h" }],
    ["events", { events: 2 }],
    ["bytes", { bytes: 100 }],
  ] as const)("is stuck by %s, blocks, and is told of again and again until it has caught up", async (_, lagLimit) => {
    const name = await freshStream({ lagLimit })
    await client.admin.createSubscription(name, "reader")
    expect(await look(name)).toEqual([])
    await publish(name, "a", "b", "c")
    await later(HOUR + 1)
    const [stuck] = await look(name)
    expect(stuck).toMatchObject({ stream: name, subscription: "reader", events: 3, expired: false })
    expect(stuck!.age).toBeGreaterThan(HOUR * 1000)
    expect(stuck!.bytes).toBeGreaterThan(100)
    const { stuckAt } = await info(name)
    expect(stuckAt).toBeInstanceOf(Date)
    await turn(name)
    expect(await rotate(name)).toBe("held")
    expect(await look(name)).toHaveLength(1)
    expect((await info(name)).stuckAt).toEqual(stuckAt)
    expect(await drain(name, "reader")).toEqual(["a", "b", "c"])
    expect(await look(name)).toEqual([])
    expect(await info(name)).toMatchObject({ stuckAt: null, expiredAt: null })
  })

  test("within its limit it is not", async () => {
    const name = await freshStream({ lagLimit: { age: "2h", events: 3, bytes: 1_000_000 } })
    await client.admin.createSubscription(name, "reader")
    await publish(name, "a", "b", "c")
    await later(HOUR)
    expect(await look(name)).toEqual([])
    await publish(name, "d")
    expect(await look(name)).toHaveLength(1)
    await drain(name, "reader")
  })

  test("its own limit comes before its stream's", async () => {
    const name = await freshStream({ lagLimit: { events: 1 } })
    await client.admin.createSubscription(name, "strict", { lagLimit: { events: 1 }, whenStuck: "expire" })
    await client.admin.createSubscription(name, "reader")
    await client.admin.createSubscription(name, "lax", { lagLimit: { events: 10 } })
    await publish(name, "a", "b")
    expect((await look(name)).map(({ subscription, expired }) => ({ subscription, expired }))).toEqual([{ subscription: "strict", expired: true }, { subscription: "reader", expired: false }])
    await client.admin.updateStream(name, { lagLimit: null })
    expect(await look(name)).toEqual([])
    expect((await info(name)).stuckAt).toBeNull()
  })

  test("the process warns of it, and says what can be done", async () => {
    const name = await freshStream({ lagLimit: { events: 1 } })
    await client.admin.createSubscription(name, "reader")
    await publish(name, "a", "b")
    const warned = once(process, "warning")
    await client.maintenance().run()
    const [warning] = (await warned) as [Error & { code: string }]
    expect(warning).toMatchObject({ name: "SluiceWarning", code: "SLUICE_STUCK" })
    expect(warning.message).toContain(`"reader" of "${name}" is behind by 2 event(s)`)
    await drain(name, "reader")
  })
})

describe("one that expires", () => {
  async function expired(): Promise<string> {
    const name = await freshStream({ lagLimit: { age: "1h" }, whenStuck: "expire" })
    for (const subscription of ["reader", "other"]) await client.admin.createSubscription(name, subscription)
    await publish(name, "a")
    await drain(name, "other")
    return name
  }

  test("is told so, holds nothing more, and goes on where it is put", async () => {
    const name = await expired()
    const batch = (await next(name, "reader"))!
    await turn(name)
    expect(await rotate(name)).toBe("held")
    expect(await stored(name)).toEqual([1, 0, 0])
    expect(await look(name)).toMatchObject([{ subscription: "reader", expired: true }])
    // Never in silence: every call says it.
    const { expiredAt } = await info(name)
    for (const call of [() => next(name, "reader"), () => batch.finish(), () => batch.renew()]) {
      const error = await errorOf<SubscriptionExpiredError>(call)
      expect(error).toBeInstanceOf(SubscriptionExpiredError)
      expect(error).toMatchObject({ stream: name, subscription: "reader", expiredAt })
    }
    expect(await settle(name)).toEqual(["truncated", "nothing"])
    expect(await look(name)).toEqual([])
    await publish(name, "b")
    await client.admin.reposition(name, "reader", { to: "earliest" })
    expect(await info(name)).toMatchObject({ expiredAt: null, stuckAt: null })
    expect(await drain(name, "reader")).toEqual(["b"])
    expect(await drain(name, "other")).toEqual(["b"])
  })

  test("holds again what is stored from the moment on that it is put back", async () => {
    const name = await expired()
    await later(HOUR + 1)
    expect(await look(name)).toMatchObject([{ expired: true }])
    await client.admin.reposition(name, "reader", { to: "earliest" })
    await turn(name)
    expect(await rotate(name)).toBe("held")
    expect(await drain(name, "reader")).toEqual(["a"])
  })

  test("until then nothing of it is gone", async () => {
    const name = await expired()
    await turn(name)
    for (let step = 0; step < 3; step++) expect(await rotate(name)).toBe("held")
    await withBroken(pool, "holders_of", "and expired_at is null", "and false", async () => expect(await rotate(name)).toBe("truncated"))
  })
})
