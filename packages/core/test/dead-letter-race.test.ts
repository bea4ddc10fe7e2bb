import { setTimeout as sleep } from "node:timers/promises"
import { QueueNotFoundError } from "@sluice/core"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"

const { client, pool, freshQueue } = await harness()
const { admin } = client

const waiting = async (): Promise<number> =>
  Number((await pool.query("select count(*) as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rows[0].n)

/** Begins `second` while `first` holds its locks in an open transaction, which then ends. */
async function meanwhile<T>(first: (tx: never) => Promise<unknown>, second: () => Promise<T>, end = "commit"): Promise<T> {
  const tx = await pool.connect()
  await tx.query("begin")
  await first(tx as never)
  const outcome = second()
  outcome.catch(() => {})
  for (let i = 0; i < 100 && (await waiting()) === 0; i++) await sleep(10)
  await tx.query(end)
  tx.release()
  return outcome
}

describe("a dead-letter queue that is being dropped", () => {
  test.each(["createQueue", "updateQueue"] as const)("is not there for a %s that waited for the drop", async (way) => {
    const dead = await freshQueue()
    const name = way === "updateQueue" ? await freshQueue() : "late"
    const error = await errorOf(meanwhile((tx) => admin.dropQueue(dead, { tx }), () => admin[way](name, { deadLetter: dead })))
    expect(error).toBeInstanceOf(QueueNotFoundError)
    expect(error).toMatchObject({ queue: dead })
    if (way === "updateQueue") expect(await admin.getQueue(name)).toMatchObject({ deadLetter: null })
  })

  test("is there when the drop rolls back", async () => {
    const dead = await freshQueue()
    const made = await meanwhile((tx) => admin.dropQueue(dead, { tx }), () => admin.createQueue("kept", { deadLetter: dead }), "rollback")
    expect(made).toMatchObject({ created: true, deadLetter: dead })
  })

  test("is in use once a queue that was being made buries there", async () => {
    const dead = await freshQueue()
    const error = await errorOf(meanwhile((tx) => admin.createQueue("user", { deadLetter: dead, tx }), () => admin.dropQueue(dead)))
    expect(error).toMatchObject({ code: "queue_in_use", deadLetterOf: ["user"] })
  })
})

test("drops and updates of the same two queues never wait for one another in a circle", async () => {
  const failures: unknown[] = []
  for (let round = 0; round < 40; round++) {
    const dead = await freshQueue()
    const users = await Promise.all([1, 2, 3].map(() => freshQueue({ deadLetter: dead })))
    const all = await Promise.allSettled([
      ...users.map((name) => admin.updateQueue(name, { deadLetter: dead, levels: 2 })),
      admin.dropQueue(dead, { force: true }),
      ...users.map((name) => admin.updateQueue(name, { deadLetter: dead })),
    ])
    for (const one of all) if (one.status === "rejected" && !(one.reason instanceof QueueNotFoundError)) failures.push(one.reason)
  }
  expect(failures).toEqual([])
})

test("updateQueue locks no message unless it lowers the levels", async () => {
  const name = await freshQueue({ levels: 4 })
  await client.queue(name).send(1, { priority: 3 })
  await pool.query("update sluice.queue set levels = 2 where name = $1", [name])
  const tx = await pool.connect()
  await tx.query("begin; set local lock_timeout = '2s'")
  await client.queue(name).read({ tx })
  expect(await admin.updateQueue(name, { lease: "5s" })).toMatchObject({ lease: "5s" })
  await tx.query("rollback")
  tx.release()
}, 5000)
