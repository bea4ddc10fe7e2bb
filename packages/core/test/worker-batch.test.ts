import { outcome } from "@sluice/core"
import { expect, test } from "vitest"
import { createGate } from "./helpers/gate.ts"
import { until } from "./helpers/until.ts"
import { workerHarness } from "./helpers/worker-harness.ts"

const { client, queue, watch, states } = await workerHarness()

/** Handles four messages in one call that gives this answer, once, and returns what was told of each. */
async function answered(answer: (ids: readonly string[]) => unknown) {
  const jobs = await queue<number>({ backoff: { kind: "fixed", base: "10m" }, done: "archive" })
  const ids = await jobs.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
  const sizes: number[] = []
  const { worker, of } = watch([
    jobs.batchHandler((messages) => {
      sizes.push(messages.length)
      expect(messages.map(({ payload }) => payload)).toEqual([1, 2, 3, 4])
      return answer(ids)
    }, { size: 4 }),
  ])
  await worker.drain()
  expect(sizes).toEqual([4])
  return { jobs, ids, told: ids.map((id) => of(id).slice(1)) }
}

test("an array: each message has its own outcome, error, or is done", async () => {
  const { jobs, ids, told } = await answered(() => [outcome.snooze("1h"), new Error("the second fails"), "whatever", outcome.deadLetter("the fourth is dead")])
  expect(told).toEqual([["snooze"], ["retry"], ["done"], ["dead"]])
  expect(await states(jobs.name)).toMatchObject([{ id: ids[0], attempt: 0 }, { id: ids[1], attempt: 1 }])
  expect((await client.admin.messages.get(ids[1]!))!.errors).toMatchObject([{ message: "the second fails", attempt: 1 }])
  expect((await client.admin.archive.list({ queue: jobs.name })).items.map(({ id }) => id).sort()).toEqual([ids[2], ids[3]].sort())
})

test.each([
  ["too short", () => [new Error("x"), outcome.done()]],
  ["too long", () => [new Error("x"), 1, 2, 3, 4]],
])("an array of outcomes that is %s fails all: nobody could tell whose they are", async (_, answer) => {
  const { jobs, ids, told } = await answered(answer)
  expect(told).toEqual([["retry"], ["retry"], ["retry"], ["retry"]])
  for (const id of ids) expect((await client.admin.messages.get(id))!.errors[0]!.message).toContain("for 4 message(s)")
  expect(await states(jobs.name)).toHaveLength(4)
})

test("an array without any outcome is a value like any other: done", async () => {
  expect((await answered(() => [1, 2])).told).toEqual([["done"], ["done"], ["done"], ["done"]])
})

test("what it throws is the error of all", async () => {
  const { ids, told } = await answered(() => {
    throw new TypeError("all of them")
  })
  expect(told).toEqual([["retry"], ["retry"], ["retry"], ["retry"]])
  for (const id of ids) expect((await client.admin.messages.get(id))!.errors).toMatchObject([{ name: "TypeError", message: "all of them" }])
})

test.each([
  ["snooze", () => outcome.snooze("1h")],
  ["dead", () => outcome.deadLetter()],
  ["cancelled", () => outcome.cancel()],
  ["done", () => undefined],
])("one answer is for all: %s", async (name, answer) => {
  expect((await answered(answer)).told).toEqual([[name], [name], [name], [name]])
})

test("a thrown outcome is for all too", async () => {
  const { told } = await answered(() => {
    throw outcome.snooze("1h")
  })
  expect(told).toEqual([["snooze"], ["snooze"], ["snooze"], ["snooze"]])
})

test("a call gets what is there, at most its size, and calls count as one for concurrency", async () => {
  const jobs = await queue<number>()
  await jobs.sendBatch(Array.from({ length: 25 }, (_, payload) => ({ payload })))
  const sizes: number[] = []
  const gate = createGate()
  const { worker } = watch([
    jobs.batchHandler(async (messages) => {
      sizes.push(messages.length)
      if (sizes.length <= 2) await gate.opened
    }, { size: 10 }),
  ], { concurrency: 2 })
  await worker.start()
  await until(() => sizes.length === 2)
  expect(sizes).toEqual([10, 10])
  gate.open()
  await worker.drain()
  expect(sizes).toEqual([10, 10, 5])
})
