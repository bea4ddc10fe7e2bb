import { type HandlerOptions, type Message, outcome, PayloadInvalidError, type QueueOptions, type StandardSchema } from "@sluice/core"
import { describe, expect, test } from "vitest"
import { harness } from "./helpers/harness.ts"
import { runWorkers } from "./helpers/run-workers.ts"

const { client, freshQueue } = await harness()
const { admin } = client
const { make, drain } = runWorkers(client)

/** Numbers from 10, given out as text. Says two things of what is no number. */
const Size: StandardSchema<number, string> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => {
      if (typeof value !== "number") return { issues: [{ message: "is no number", path: ["size"] }, { message: "has no unit", path: ["units", 0, { key: "name" }] }] }
      return value < 10 ? { issues: [{ message: "is below 10" }] } : { value: `${value} cm` }
    },
  },
}

/** A queue to which somebody without the schema sends. */
async function mixed(options: QueueOptions): Promise<{ name: string; ids: string[] }> {
  const name = await freshQueue(options)
  const ids = await client.queue(name).sendBatch([10, "x", 11, 5, 12].map((payload) => ({ payload })))
  return { name, ids }
}

type Way = "handler" | "batchHandler" | "transactional"
const ways: Way[] = ["handler", "batchHandler", "transactional"]

function handlerOf(way: Way, name: string, seen: (payload: string) => unknown, options: HandlerOptions = {}) {
  const queue = client.queue(name, { payload: Size })
  const many = (messages: readonly Message<string>[]): unknown => messages.map(({ payload }) => seen(payload))
  if (way === "batchHandler") return queue.batchHandler(many, { ...(options as object), size: 5, transactional: false })
  const one = ({ payload }: Message<string>): unknown => seen(payload)
  return way === "transactional" ? queue.handler(one, { ...options, transactional: true, batch: 5 }) : queue.handler(one, { ...options, transactional: false })
}

describe.each(ways)("a payload that the schema refuses (%s)", (way) => {
  test("is dead-lettered at once by default, its error tells every issue, and no handler sees it", async () => {
    const dead = await freshQueue()
    const { name, ids } = await mixed({ deadLetter: dead })
    const seen: string[] = []
    const asked: unknown[] = []
    const told = await drain(handlerOf(way, name, (payload) => void seen.push(payload), { onError: (error) => void asked.push(error) }))
    expect(seen.toSorted()).toEqual(["10 cm", "11 cm", "12 cm"])
    expect(told.map(({ event }) => event).toSorted()).toEqual(["dead", "dead", "done", "done", "done"])
    expect(asked).toEqual([])
    const first = told.find((one) => one.event === "dead" && one.message.id === ids[1]) as { error: PayloadInvalidError }
    expect(first.error).toBeInstanceOf(PayloadInvalidError)
    expect(first.error).toMatchObject({ path: "payload.size", issues: [{ message: "is no number" }, { message: "has no unit" }] })
    const lying = (await admin.messages.list({ queue: dead })).items
    expect(lying.map(({ payload, errors }) => [payload, errors.map((error) => [error.name, error.message, error.attempt])])).toEqual([
      ["x", [["PayloadInvalidError", "payload.size: is no number; payload.units[0].name: has no unit", 1]]],
      [5, [["PayloadInvalidError", "payload: is below 10", 1]]],
    ])
    expect((await admin.redrive(name, { preview: true })).map(({ payload }) => payload)).toEqual(["x", 5])
  })

  test("fails like any other where the queue says raise, up to its limit of attempts", async () => {
    const { name, ids } = await mixed({ onInvalid: "raise", maxAttempts: 3, backoff: null })
    const seen: string[] = []
    const told = await drain(handlerOf(way, name, (payload) => void seen.push(payload)))
    expect(seen.toSorted()).toEqual(["10 cm", "11 cm", "12 cm"])
    const of = (id: string | undefined): string[] => told.flatMap((one) => ("message" in one && one.message.id === id ? [one.event] : []))
    expect([of(ids[1]), of(ids[3]), of(ids[0])]).toEqual([["retry", "retry", "dead"], ["retry", "retry", "dead"], ["done"]])
    expect((await admin.archive.get(ids[3]!))!.errors.map(({ message, attempt }) => [message, attempt])).toEqual([1, 2, 3].map((attempt) => ["payload: is below 10", attempt]))
  })

  test("asks onError and backoff where the queue says raise", async () => {
    const { name, ids } = await mixed({ onInvalid: "raise" })
    const attempts: number[] = []
    const told = await drain(
      handlerOf(way, name, () => {}, {
        onError: (error, { payload }) => (error instanceof PayloadInvalidError && payload === "x" ? outcome.snooze("1h") : undefined),
        backoff: (attempt) => (attempts.push(attempt), "1h"),
      }),
    )
    expect(told.filter(({ event }) => event !== "done").map((one) => `${one.event} ${(one as { message: Message }).message.id}`).toSorted()).toEqual([`retry ${ids[3]}`, `snooze ${ids[1]}`])
    expect(attempts).toEqual([1])
  })
})

test("what updateQueue says of it counts from the next beat on", async () => {
  const name = await freshQueue({ lease: "300ms", onInvalid: "raise", backoff: { kind: "fixed", base: "1h", max: "1h" } })
  const { worker, told } = make([client.queue(name, { payload: Size }).handler(() => {})])
  await worker.start()
  await client.queue(name).send(1)
  await expect.poll(() => told.map(({ event }) => event)).toEqual(["retry"])
  await admin.updateQueue(name, { onInvalid: "deadLetter" })
  await expect
    .poll(async () => {
      await client.queue(name).send(2)
      return told.at(-1)!.event
    })
    .toBe("dead")
})

test.each(ways)("a queue of nothing but unreadable messages is drained (%s)", async (way) => {
  const name = await freshQueue()
  await client.queue(name).sendBatch(Array.from({ length: 500 }, () => ({ payload: "x" })))
  expect(await drain(handlerOf(way, name, () => {}))).toHaveLength(500)
  expect(await admin.archive.count({ queue: name, outcome: "dead" })).toBe(500)
})
