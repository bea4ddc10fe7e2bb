import { type HandlerOutcome, type Message, outcome, type TransactionContext } from "@sluice/core"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, describe, expect, test } from "vitest"
import { driverNames } from "./helpers/drivers.ts"
import { createEffectTable, effectsOf, openEffects, type Point, reasonsOf, tellingOf } from "./helpers/effects.ts"
import { harness } from "./helpers/harness.ts"

const { client: other, pool, url, freshQueue } = await harness()
await createEffectTable(pool)

type Handle = (message: Message<number>, context: TransactionContext<unknown>) => unknown

describe.each(driverNames)("a transactional worker over %s", (driver) => {
  /** Called before the transaction of a call is opened. */
  let before: (point: Point, tx?: unknown) => Promise<unknown> | undefined = () => undefined
  const { client, effect, driver: raw, end } = openEffects(driver, url, 4, (point, tx) => before(point, tx))
  afterAll(end)

  async function fresh(payloads: readonly number[] = [1]) {
    const name = await freshQueue({ backoff: null, done: "archive", maxAttempts: 2 })
    const queue = client.queue<number>(name)
    const ids = await queue.sendBatch(payloads.map((payload) => ({ payload })))
    return { name, queue, ids, kept: (): Promise<number[]> => effectsOf(pool, name) }
  }

  /** Drains a queue of one message, and returns what was told. */
  async function drain(name: string, handle: Handle, onRetry: (error: unknown) => void = () => {}): Promise<string[]> {
    const worker = client.worker([client.queue<number>(name).handler(handle, { transactional: true })], { maintenance: false, concurrency: 1 })
    const told = tellingOf(worker)
    worker.on("retry", ({ error }) => onRetry(error))
    await worker.drain()
    return told
  }

  test("commits what a handler did with the message; what a failed one did is gone, its attempt charged, its error kept", async () => {
    const { name, kept, ids } = await fresh()
    const counts: number[] = []
    const told = await drain(name, async (message, { tx }) => {
      counts.push((await kept()).length)
      await effect(message, tx)
      expect(await kept()).toEqual([]) // not before the commit
      if (message.attempt === 1) throw new Error("not yet")
    })
    expect(told).toEqual(["retry 1", "done 1"])
    expect(counts).toEqual([0, 0])
    expect(await kept()).toEqual([1])
    const { items } = await other.admin.archive.list({ queue: name })
    expect(items).toMatchObject([{ id: ids[0], outcome: "done", attempt: 2, errors: [{ message: "not yet", attempt: 1, worker: expect.any(String) }] }])
  })

  const outcomes: [name: string, make: () => HandlerOutcome, told: string, left: object][] = [
    ["done", () => outcome.done(), "done", { archived: "done", attempt: 1 }],
    ["retry", () => outcome.retry({ delay: "1h" }), "retry", { state: "delayed", attempt: 1 }],
    ["snooze", () => outcome.snooze("1h"), "snooze", { state: "delayed", attempt: 0 }],
    ["deadLetter", () => outcome.deadLetter("why"), "dead", { archived: "dead", attempt: 1 }],
    ["cancel", () => outcome.cancel(), "cancelled", { archived: "cancelled", attempt: 1 }],
  ]

  test.each(outcomes)("outcome.%s, returned, commits the effects", async (_name, make, verb, left) => {
    const { name, kept } = await fresh()
    expect(await drain(name, async (message, { tx }) => (await effect(message, tx), make()))).toEqual([`${verb} 1`])
    expect(await kept()).toEqual([1])
    expect(await leftOf(name)).toMatchObject([left])
  })

  test.each(outcomes)("outcome.%s, thrown, rolls them back", async (_name, make, verb, left) => {
    const { name, kept } = await fresh()
    expect(await drain(name, async (message, { tx }) => (await effect(message, tx), Promise.reject(make())))).toEqual([`${verb} 1`])
    expect(await kept()).toEqual([])
    expect(await leftOf(name)).toMatchObject([left])
  })

  test.each<[string, (name: string, message: Message) => Promise<unknown>, string, object[]]>([
    ["deleted by an operator", (name, { id }) => other.admin.messages.delete(name, id), "lost", []],
    ["settled under its lease", (name, message) => other.queue(name).delete(message), "lost", []],
    ["released, and read by another", async (name, message) => (await other.queue(name).release(message), other.queue(name).read()), "lost", [{ state: "inFlight", attempt: 2 }]],
    ["cancelled", (name, { id }) => other.queue(name).cancel(id), "cancelled", [{ archived: "cancelled" }]],
  ])("does not call the handler of a message that was %s before it could be locked", async (_name, act, verb, left) => {
    const { name, ids } = await fresh()
    before = async (point) => {
      if (point !== "begun") return
      const { rows } = await pool.query("select lease::text from sluice.message where id = $1", [ids[0]])
      await act(name, { id: ids[0], lease: rows[0].lease } as Message)
    }
    let called = 0
    const told = await drain(name, () => called++).finally(() => (before = () => undefined))
    expect(told).toEqual([`${verb} 1`])
    expect(called).toBe(0)
    expect(await leftOf(name)).toMatchObject(left)
  })

  test.each<[string, Handle, RegExp]>([
    ["a deferred constraint fails", async (message, { tx }) => {
      if (message.attempt === 1) await raw.within(tx).query("insert into child values (404)")
    }, /violates foreign key/],
    ["an error was swallowed", async (message, { tx }) => {
      if (message.attempt === 1) await raw.within(tx).query("select 1 / 0").catch(() => {})
    }, /(failed, and the handler went on[^]*current transaction is aborted)|division by zero/],
  ])("a commit that fails because %s is a failed attempt", async (_name, deed, reason) => {
    await pool.query("create table if not exists parent (id int primary key); create table if not exists child (id int references parent deferrable initially deferred)")
    const { name, kept, ids } = await fresh()
    let reasons = ""
    const told = await drain(name, async (message, context) => {
      await effect(message, context.tx)
      await deed(message, context)
    }, (error) => (reasons = reasonsOf(error)))
    expect(told).toEqual(["retry 1", "done 1"])
    expect(await kept()).toEqual([1])
    expect((await other.admin.archive.list({ queue: name })).items).toMatchObject([{ id: ids[0], attempt: 2, errors: [{ attempt: 1 }] }])
    expect(reasons).toMatch(reason)
  })

  test("keeps a message from all others for as long as its handler runs, past its lease; after a rollback they may have it", async () => {
    const { name, queue, kept } = await fresh()
    let release = (): void => {}
    const released = new Promise<void>((resolve) => (release = resolve))
    const worker = await queue.work(async (message, { tx }) => {
      await effect(message, tx)
      await released
      throw new Error("after all")
    }, { transactional: true, lease: "300ms", concurrency: 1, maintenance: false })
    const told = tellingOf(worker)
    await expired(name)
    expect(await other.queue(name).readWithPoll({ wait: "700ms", interval: "20ms" })).toEqual([])
    expect(await other.queue(name).pop()).toBeNull()
    const stopped = worker.stop()
    release()
    expect(await other.queue(name).readWithPoll({ wait: "10s", interval: "10ms" })).toMatchObject([{ payload: 1, attempt: 2 }])
    await stopped
    expect(told).toHaveLength(1)
    expect(await kept()).toEqual([])
  })

  test("a handler longer than its lease commits", async () => {
    const { name, kept } = await fresh()
    const worker = client.worker([client.queue<number>(name).handler(async (message, { tx }) => {
      await effect(message, tx)
      await expired(name)
      expect(await other.queue(name).read()).toBeNull()
    }, { transactional: true, lease: "200ms" })], { maintenance: false, concurrency: 2 })
    const told = tellingOf(worker)
    await worker.drain()
    expect(told).toEqual(["done 1"])
    expect(await kept()).toEqual([1])
  })

  test("does not end the transaction of a handler that ignores its timeout; when that returns, it is rolled back and retried", async () => {
    const { name, kept, ids } = await fresh()
    let late = 0
    const worker = client.worker([client.queue<number>(name).handler(async (message, { tx, signal }) => {
      if (message.attempt === 2) return effect(message, tx)
      await new Promise((resolve) => signal.addEventListener("abort", resolve))
      await sleep(50)
      await effect(message, tx) // it is still his
      late++
    }, { transactional: true, timeout: "100ms" })], { maintenance: false, concurrency: 1 })
    const told = tellingOf(worker)
    await worker.drain()
    expect(told).toEqual(["retry 1", "done 1"])
    expect(late).toBe(1)
    expect(await kept()).toEqual([1])
    expect((await other.admin.archive.list({ queue: name })).items).toMatchObject([{ id: ids[0], errors: [{ name: "HandlerTimeoutError" }] }])
  })

  test("stop does not wait for a handler that never ends, nor does anybody settle its message", async () => {
    const { name, queue, kept } = await fresh()
    let release = (): void => {}
    const released = new Promise<void>((resolve) => (release = resolve))
    let begun = false
    const worker = await queue.work(async (message, { tx }) => {
      await effect(message, tx)
      begun = true
      await released
    }, { transactional: true, lease: "200ms", concurrency: 1, maintenance: false })
    const told = tellingOf(worker)
    await expect.poll(() => begun, { timeout: 10_000 }).toBe(true)
    await worker.stop({ timeout: "10ms" })
    await expired(name)
    expect(await other.queue(name).read()).toBeNull()
    expect(told).toEqual([])
    release()
    await expect.poll(() => told, { timeout: 10_000 }).toEqual(["done 1"])
    expect(await kept()).toEqual([1])
  })

  /** Waits until the lease of the only message, as it is committed, is over. */
  async function expired(name: string): Promise<void> {
    const late = async (): Promise<boolean> => (await other.admin.messages.list({ queue: name, state: "visible" })).items.length > 0
    await expect.poll(async () => (await late()) && (await other.admin.messages.list({ queue: name })).items[0]!.attempt, { timeout: 10_000, interval: 20 }).toBe(1)
  }
})

/** What is left of a queue, archived or not. */
async function leftOf(name: string): Promise<object[]> {
  const { items: waiting } = await other.admin.messages.list({ queue: name })
  const { items: archived } = await other.admin.archive.list({ queue: name })
  return [...waiting, ...archived.map((message) => ({ ...message, archived: message.outcome }))]
}
