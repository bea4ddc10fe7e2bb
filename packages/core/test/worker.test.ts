import { createClient, outcome, type Worker } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { databasePerFile } from "@sluice/testkit/vitest"
import { afterEach, expect, test } from "vitest"
import { openPool } from "./helpers/harness.ts"

const { url } = await databasePerFile()
const pool = openPool(url, 8)
const client = createClient(pgDriver(pool))
await client.admin.install()
const workers: Worker[] = []
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop({ timeout: 0 })))
})

test("smoke", async () => {
  await client.admin.createQueue("a", { maxAttempts: 3, backoff: null })
  const a = client.queue<number>("a")
  await a.sendBatch(Array.from({ length: 25 }, (_, n) => ({ payload: n })))
  const seen: number[] = []
  const worker = client.worker([
    a.handler(async (message) => {
      seen.push(message.payload)
      if (message.payload === 3) throw new Error("no three")
      if (message.payload === 4) return outcome.deadLetter("no four")
    }),
  ])
  workers.push(worker)
  const events: string[] = []
  for (const name of ["done", "retry", "dead", "lost", "error", "released"] as const) worker.on(name, (event) => events.push(name === "error" ? `error ${String((event as { error: unknown }).error)}` : name))
  await worker.drain()
  expect(seen.length).toBe(27)
  expect(events.sort()).toEqual([...Array.from({ length: 2 }, () => "dead"), ...Array.from({ length: 23 }, () => "done"), "retry", "retry"])
  expect((await client.admin.archive.list({ queue: "a" })).items.map(({ errors }) => errors.map(({ message, attempt }) => [message, attempt]))).toEqual([[["no three", 1], ["no three", 2], ["no three", 3]], [["no four", 1]]])
})

test("transactional", async () => {
  await client.admin.createQueue("t", { maxAttempts: 2, backoff: null })
  await pool.query("create table if not exists effect (n int)")
  const t = client.queue<number>("t")
  await t.sendBatch([1, 2, 3].map((payload) => ({ payload })))
  const worker = client.worker([
    t.handler(
      async (message, { tx }) => {
        await tx.query("insert into effect values ($1)", [message.payload])
        if (message.payload === 2) throw new Error("no two")
      },
      { transactional: true, batch: 2 },
    ),
  ])
  workers.push(worker)
  worker.on("error", ({ error }) => console.error(error))
  await worker.drain()
  expect((await pool.query("select n from effect order by n")).rows).toEqual([{ n: 1 }, { n: 3 }])
  expect(await client.admin.messages.count({ queue: "t" })).toBe(0)
  expect((await client.admin.redrive("t", { preview: true })).map(({ payload, source }) => [payload, source])).toEqual([[2, "archive"]])
  expect(await client.admin.redrive("t")).toHaveLength(1)
  expect((await t.read())?.attempt).toBe(1)
})
