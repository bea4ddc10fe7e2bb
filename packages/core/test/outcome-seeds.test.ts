// Named after weaknesses of pgqrs and AsyncMQ, and after cases of their own tests.
import { outcome, StaleLeaseError } from "@sluice/core"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { runWorkers } from "./helpers/run-workers.ts"

const { client, pool, freshQueue } = await harness()
const { admin } = client
const { make, drain } = runWorkers(client)
beforeEach(() => moveClock(pool, "0"))

const failing = (text: string) => (): Promise<never> => Promise.reject(new Error(text))

describe("pgqrs:", () => {
  test("no failure reason stored", async () => {
    const name = await freshQueue({ maxAttempts: 1 })
    const id = await client.queue(name).send(1)
    await drain(client.queue(name).handler(failing("SMTP said no")))
    expect(await admin.archive.get(id)).toMatchObject({ errors: [{ name: "Error", message: "SMTP said no", attempt: 1 }] })
    expect(await admin.redrive(name, { preview: true })).toMatchObject([{ errors: [{ message: "SMTP said no" }] }])
  })

  test("hidden poison rows until a manual global dlq()", async () => {
    const dead = await freshQueue()
    const name = await freshQueue({ maxAttempts: 5, deadLetter: dead })
    const queue = client.queue(name)
    const id = await queue.send("poison")
    for (let attempt = 1; attempt <= 5; attempt++) await queue.release((await queue.read())!)
    // It counts as a message of its queue until the next claim moves it, with no call of anybody's.
    expect(await admin.metrics(name)).toMatchObject({ length: 1, visible: 1 })
    expect(await queue.read()).toBeNull()
    expect(await admin.metrics(name)).toMatchObject({ length: 0 })
    expect(await admin.metrics(dead)).toMatchObject({ length: 1, visible: 1 })
    expect(await admin.messages.get(id)).toMatchObject({ queue: dead, origin: name })
  })

  test("dlq() also archives rows in their last live attempt", async () => {
    const dead = await freshQueue()
    const name = await freshQueue({ maxAttempts: 2, deadLetter: dead })
    const queue = client.queue(name)
    await queue.sendBatch([{ payload: "last" }, { payload: "spent" }])
    await queue.release((await queue.readBatch({ limit: 2 }))[1]!)
    await queue.release((await queue.read())!) // the second one is at its limit
    await moveClock(pool, "31 seconds")
    const last = (await queue.read({ lease: "1h" }))!
    expect(last).toMatchObject({ payload: "last", attempt: 2 })
    for (let i = 0; i < 3; i++) expect(await queue.readBatch({ limit: 10 })).toEqual([])
    expect((await admin.messages.list({ queue: dead })).items.map(({ payload }) => payload)).toEqual(["spent"])
    await queue.delete(last)
  })

  test("loop dies on first handler error", async () => {
    const queue = client.queue<number>(await freshQueue({ backoff: null, maxAttempts: 1 }))
    await queue.sendBatch(Array.from({ length: 50 }, (_, payload) => ({ payload })))
    const told = await drain(queue.handler(({ payload }) => (payload < 49 ? failing("no")() : undefined), { concurrency: 1 }))
    expect(told.map(({ event }) => event)).toEqual([...Array.from({ length: 49 }, () => "dead"), "done"])
  })

  test("pauses and transient failures burn read_ct until the message is undeliverable", async () => {
    const queue = client.queue(await freshQueue({ maxAttempts: 1 }))
    const id = await queue.send(1)
    for (let i = 0; i < 20; i++) {
      await drain(queue.handler(() => outcome.snooze("1s")))
      await moveClock(pool, `${2 * (i + 1)} seconds`)
    }
    expect(await queue.read()).toMatchObject({ id, attempt: 1 })
  })

  test("replay_dlq brings back any archived row, what succeeded too", async () => {
    const name = await freshQueue({ done: "archive" })
    const [good, bad] = await client.queue<string>(name).sendBatch([{ payload: "good" }, { payload: "bad" }])
    await drain(client.queue<string>(name).handler(({ payload }) => (payload === "bad" ? outcome.deadLetter() : undefined)))
    expect((await admin.redrive(name, { ids: [good!, bad!] })).map(({ id }) => id)).toEqual([bad])
  })

  test("case: handler error: not archived, error surfaces, message available again", async () => {
    const queue = client.queue(await freshQueue({ backoff: { kind: "fixed", base: "10s", jitter: 0 } }))
    const id = await queue.send(1)
    expect(await drain(queue.handler(failing("boom")))).toMatchObject([{ event: "retry", error: { message: "boom" }, message: { id } }])
    expect(await admin.archive.get(id)).toBeNull()
    await moveClock(pool, "11 seconds")
    expect(await queue.read()).toMatchObject({ id, attempt: 2 })
  })

  test("case: read_ct at the maximum is hidden; dlq() returns its id; replay resets and delivers again", async () => {
    const name = await freshQueue({ maxAttempts: 3, backoff: null })
    const id = await client.queue(name).send({ a: 1 })
    expect(await drain(client.queue(name).handler(failing("no")))).toHaveLength(3)
    expect(await client.queue(name).read()).toBeNull()
    expect((await admin.redrive(name)).map((message) => message.id)).toEqual([id])
    expect(await client.queue(name).read()).toMatchObject({ id, attempt: 1, payload: { a: 1 } })
  })
})

describe("AsyncMQ:", () => {
  test("stale worker overwrites a re-claimed job's state", async () => {
    const name = await freshQueue({ done: "archive", backoff: null })
    const queue = client.queue(name)
    const settles = [() => undefined, () => outcome.retry({ error: "stale" }), () => outcome.snooze("1h"), () => outcome.deadLetter("stale"), () => outcome.cancel(), failing("stale")]
    for (const settle of settles) {
      const id = await queue.send(1)
      let newer: Awaited<ReturnType<typeof queue.read>> = null
      const { worker, told } = make([
        queue.handler(async ({ attempt }) => {
          if (attempt > 1) return undefined
          await moveClock(pool, "31 seconds") // as when this process had been suspended
          newer = await queue.read({ lease: "1h" })
          return settle()
        }),
      ], { concurrency: 1 })
      await worker.start()
      await expect.poll(() => told.map(({ event }) => event)).toEqual(["lost"])
      await worker.stop()
      expect(await admin.messages.get(id)).toMatchObject({ state: "inFlight", attempt: 2, errors: [] })
      await queue.delete(newer!)
      expect(await errorOf(queue.delete(newer!))).toBeInstanceOf(StaleLeaseError)
      await moveClock(pool, "0")
    }
    expect(await admin.archive.count({ queue: name })).toBe(0)
  })

  test("retry_job keeps retries: an exhausted job gets one attempt", async () => {
    const name = await freshQueue({ maxAttempts: 4, backoff: null })
    await client.queue(name).send(1)
    for (let round = 1; round <= 3; round++) {
      const told = await drain(client.queue(name).handler(failing(`round ${round}`)))
      expect(told.map((one) => [one.event, (one as { message: { attempt: number } }).message.attempt])).toEqual([["retry", 1], ["retry", 2], ["retry", 3], ["dead", 4]])
      const [back] = await admin.redrive(name)
      expect(back!.errors).toHaveLength(4 * round)
    }
  })

  test("retry_job does not clear the cancel marker", async () => {
    const name = await freshQueue({ done: "archive" })
    const queue = client.queue(name)
    const id = await queue.send(1)
    await queue.read({ lease: "1m" })
    expect(await queue.cancel(id)).toBe("requested")
    await moveClock(pool, "61 seconds")
    expect(await queue.read()).toBeNull()
    expect(await admin.archive.get(id)).toMatchObject({ outcome: "cancelled" })
    expect((await pool.query("select from sluice.cancellation")).rowCount).toBe(0)
  })

  test("retry clears result and error", async () => {
    const name = await freshQueue({ maxAttempts: 2, backoff: null })
    const id = await client.queue(name).send(1)
    await drain(client.queue(name).handler(failing("kept")))
    await admin.redrive(name)
    expect((await admin.messages.get(id))!.errors.map(({ message }) => message)).toEqual(["kept", "kept"])
  })

  test("retry needs a scanner to return a delayed job", async () => {
    const queue = client.queue(await freshQueue())
    const id = await queue.send(1)
    const { worker } = make([queue.handler(({ attempt }) => (attempt === 1 ? outcome.retry({ delay: "50ms" }) : undefined))], { pollInterval: "20ms" })
    await worker.start()
    await expect.poll(() => admin.messages.get(id)).toBeNull()
    await worker.stop()
  })

  test("completed rows kept forever", async () => {
    const name = await freshQueue()
    await client.queue(name).send(1)
    await drain(client.queue(name).handler(() => "result"))
    expect([await admin.messages.count({ queue: name }), await admin.archive.count({ queue: name })]).toEqual([0, 0])
    await admin.updateQueue(name, { done: "archive", archiveRetention: "1h" })
    await client.queue(name).send(2)
    await drain(client.queue(name).handler(() => {}))
    expect(await admin.archive.count({ queue: name })).toBe(1)
    await moveClock(pool, "2 days") // give or take one
    await client.maintenance().run()
    expect(await admin.archive.count({ queue: name })).toBe(0)
  })

  test("the whole document is rewritten at each transition: two outcomes at once lose one", async () => {
    const queue = client.queue(await freshQueue())
    const id = await queue.send({ big: "x".repeat(1000) })
    const held = (await queue.read())!
    const all = await Promise.allSettled([queue.retry(held, { delay: 0, error: "one" }), queue.snooze(held, 0), queue.deadLetter(held, { error: "two" }), queue.delete(held), queue.archive(held), queue.release(held)])
    expect(all.filter(({ status }) => status === "fulfilled")).toHaveLength(1)
    for (const one of all) if (one.status === "rejected") expect(one.reason).toBeInstanceOf(StaleLeaseError)
    const left = [await admin.messages.get(id), await admin.archive.get(id)].filter((one) => one !== null)
    expect(left.length).toBeLessThanOrEqual(1)
    for (const one of left) expect(one.errors.length).toBeLessThanOrEqual(1)
  })
})
