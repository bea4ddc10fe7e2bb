import { InvalidOptionError, type Partition, type QueueOptions, QueueNotFoundError, StaleLeaseError, WrongKindError } from "@sluice/core"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
const { admin } = client
beforeEach(() => moveClock(pool, "0"))

/** Sends messages and dead-letters them. */
async function die(name: string, payloads: readonly unknown[], headers: (payload: unknown) => object = () => ({})): Promise<string[]> {
  const queue = client.queue(name)
  const ids = await queue.sendBatch(payloads.map((payload) => ({ payload, headers: headers(payload) as never })))
  for (const message of await queue.readBatch({ limit: payloads.length })) await queue.deadLetter(message, { error: `${JSON.stringify(message.payload)} died` })
  return ids
}

const idsOf = (messages: readonly { id: string }[]): string[] => messages.map(({ id }) => id)
const lengthOf = async (name: string): Promise<number> => (await admin.metrics(name)).length

/** Everything that is stored, however it is. */
async function everything(): Promise<unknown> {
  const { rows } = await pool.query(`select (select jsonb_agg(m order by queue, id) from sluice.message m) as messages, (select jsonb_agg(a order by queue, id) from sluice.archive a) as archive,
    (select jsonb_agg(c) from sluice.cancellation c) as cancellations`)
  return rows[0]
}

const byId: Partition = { by: "id", interval: 1000, retention: 2000, archive: true }
const byTime: Partition = { by: "time", interval: "1h", retention: "2h", archive: true }
const storages: [string, QueueOptions][] = [
  ["shared", {}],
  ["dedicated", { storage: "dedicated" }],
  ["unlogged", { storage: "unlogged" }],
  ["partitioned by id", { partition: byId }],
  ["partitioned by time", { partition: byTime }],
  ["partitioned, with the shared archive", { partition: { ...byId, archive: false } }],
]
const places: [string, string, QueueOptions, QueueOptions | null][] = [
  ...storages.map(([name, options]): (typeof places)[number] => [name, "the archive", options, null]),
  // Each storage once as where they died, and once as where they lie.
  ...storages.map(([name, options], i): (typeof places)[number] => {
    const [other, its] = storages[(i * 5 + 1) % storages.length]!
    return [name, `a dead-letter queue that is ${other}`, options, its]
  }),
  ["shared", "a dead-letter queue that is shared", {}, {}],
]

describe.each(places)("redrive to a queue that is %s, from %s", (_, __, options, deadOptions) => {
  test("brings back what died: ids, payloads, headers, priorities and errors, with all attempts before it, ready now", async () => {
    const dead = deadOptions && (await freshQueue(deadOptions))
    const name = await freshQueue({ ...options, deadLetter: dead, maxAttempts: 2, backoff: null })
    const queue = client.queue(name)
    const id = await queue.send({ n: 1 }, { headers: { h: "1" }, priority: 3 })
    let held = (await queue.read())!
    for (const error of ["first", "second"]) {
      await queue.retry(held, { error })
      held = (await queue.read()) ?? held
    }
    expect(await lengthOf(name)).toBe(0)
    const preview = await admin.redrive(name, { preview: true })
    expect(preview).toMatchObject([{ id, source: dead === null ? "archive" : "deadLetter", payload: { n: 1 }, headers: { h: "1" }, priority: 3, errors: [{ message: "first", attempt: 1 }, { message: "second", attempt: 2 }] }])
    expect(preview[0]!.enqueuedAt).toEqual(held.enqueuedAt)
    expect(await lengthOf(name)).toBe(0)
    expect(await admin.redrive(name)).toEqual(preview)
    expect(await admin.messages.get(id)).toMatchObject({ queue: name, attempt: 0, state: "visible", priority: 3, origin: null, errors: preview[0]!.errors })
    expect(await admin.archive.count({ queue: name })).toBe(0)
    if (dead !== null) expect(await lengthOf(dead)).toBe(0)
    const again = (await queue.read())!
    expect(again).toMatchObject({ id, attempt: 1, payload: { n: 1 }, headers: { h: "1" }, priority: 3, enqueuedAt: held.enqueuedAt })
    // The lease from before is stale, whatever is tried with it.
    expect(again.lease).not.toBe(held.lease)
    for (const settle of [() => queue.delete(held), () => queue.archive(held), () => queue.retry(held), () => queue.snooze(held, 0), () => queue.deadLetter(held), () => queue.release(held), () => queue.extend(held, "1m")]) {
      expect(await errorOf(settle())).toBeInstanceOf(StaleLeaseError)
    }
    await queue.delete(again)
    expect(await admin.redrive(name)).toEqual([])
  })

  test("by ids, by filter and by limit takes those and no others, oldest first", async () => {
    const dead = deadOptions && (await freshQueue(deadOptions))
    const name = await freshQueue({ ...options, deadLetter: dead })
    const ids = await die(name, [{ n: 0, kind: "a" }, { n: 1, kind: "b" }, { n: 2, kind: "a" }, { n: 3, kind: "b" }, { n: 4, kind: "a" }], (payload) => ({ of: (payload as { kind: string }).kind }))
    const steps: [Parameters<typeof admin.redrive>[1], number[]][] = [
      [{ ids: [ids[3]!, "1", ids[1]!, ids[3]!] }, [1, 3]],
      [{ ids: [] }, []],
      [{ filter: { headers: { of: "b" } } }, []],
      [{ filter: { headers: { of: "a" }, payload: { n: 9 } } }, []],
      [{ filter: { payload: { n: 2 } } }, [2]],
      [{ limit: 1, filter: { headers: { of: "a" } } }, [0]],
      [{ ids, filter: { payload: { kind: "a" } }, limit: 5 }, [4]],
    ]
    for (const [wanted, which] of steps) {
      const preview = await admin.redrive(name, { ...wanted, preview: true })
      expect(idsOf(preview)).toEqual(which.map((n) => ids[n]))
      expect(await admin.redrive(name, { ...wanted })).toEqual(preview)
    }
    expect(idsOf(await client.queue(name).readBatch({ limit: 9 })).toSorted()).toEqual(ids.toSorted())
  })
})

test("a preview changes nothing, locks nothing, and is what a redrive then returns", async () => {
  const dead = await freshQueue()
  const name = await freshQueue({ deadLetter: dead })
  await die(name, [1, 2, 3])
  await admin.updateQueue(name, { deadLetter: null })
  await die(name, [4, 5])
  await admin.updateQueue(name, { deadLetter: dead })
  const before = await everything()
  const tx = await pool.connect()
  await tx.query("begin read only")
  const preview = await admin.redrive(name, { preview: true, tx })
  await tx.query("commit; begin")
  expect(await admin.redrive(name, { preview: true, limit: 4, tx })).toEqual(preview.slice(0, 4))
  // Another redrive takes what this transaction has looked at.
  expect(preview.map(({ payload, source }) => [payload, source])).toEqual([[1, "deadLetter"], [2, "deadLetter"], [3, "deadLetter"], [4, "archive"], [5, "archive"]])
  expect(await everything()).toEqual(before)
  expect(await admin.redrive(name)).toEqual(preview)
  await tx.query("commit")
  tx.release()
})

describe("a message in the dead-letter queue that somebody", () => {
  test("holds is not taken, and one whose lease has run out is", async () => {
    const dead = await freshQueue()
    const name = await freshQueue({ deadLetter: dead })
    const ids = await die(name, [1, 2])
    const held = (await client.queue(dead).read({ lease: "1m" }))!
    expect(idsOf(await admin.redrive(name, { preview: true }))).toEqual([ids[1]])
    expect(idsOf(await admin.redrive(name))).toEqual([ids[1]])
    expect(await admin.redrive(name, { ids: [held.id] })).toEqual([])
    await moveClock(pool, "61 seconds")
    expect(idsOf(await admin.redrive(name))).toEqual([held.id])
    expect(await errorOf(client.queue(dead).delete(held))).toBeInstanceOf(StaleLeaseError)
    expect(await lengthOf(name)).toBe(2)
  })

  test("put off, or parked, is taken", async () => {
    const dead = await freshQueue()
    const name = await freshQueue({ deadLetter: dead })
    const ids = await die(name, [1, 2])
    await client.queue(dead).snooze((await client.queue(dead).read())!, "1h")
    await pool.query("update sluice.message set vt = 'infinity' where id = $1", [ids[1]])
    expect(idsOf(await admin.redrive(name))).toEqual(ids)
    expect(idsOf(await client.queue(name).readBatch({ limit: 5 }))).toEqual(ids)
  })

  test("sent there, or that died in another queue, is not", async () => {
    const dead = await freshQueue()
    const [one, other] = [await freshQueue({ deadLetter: dead }), await freshQueue({ deadLetter: dead })]
    await client.queue(dead).send("its own")
    const [mine] = [await die(one, ["one"]), await die(other, ["other"])]
    expect(idsOf(await admin.redrive(one))).toEqual(mine)
    expect(await lengthOf(dead)).toBe(2)
  })
})

test("only what is dead comes from the archive: nothing that is done, or cancelled", async () => {
  const name = await freshQueue({ done: "archive" })
  const queue = client.queue(name)
  await queue.sendBatch([{ payload: "done" }, { payload: "cancelled" }])
  await queue.archive((await queue.read())!)
  await queue.cancel((await admin.messages.list({ queue: name })).items[0]!.id)
  const dead = await die(name, ["dead"])
  expect(idsOf(await admin.redrive(name))).toEqual(dead)
  expect(await admin.archive.count({ queue: name })).toBe(2)
})

test("a chain of dead-letter queues is redriven link by link", async () => {
  const last = await freshQueue()
  const middle = await freshQueue({ deadLetter: last })
  const first = await freshQueue({ deadLetter: middle })
  const [id] = await die(first, ["x"])
  await client.queue(middle).deadLetter((await client.queue(middle).read())!, { error: "again" })
  expect(await admin.redrive(first)).toEqual([])
  expect(idsOf(await admin.redrive(middle))).toEqual([id])
  expect(await admin.messages.get(id!)).toMatchObject({ queue: middle, errors: [{ message: '"x" died' }, { message: "again" }] })
  expect(await admin.redrive(first)).toEqual([]) // it died in first, and then in middle: that is where it was brought back to
})

test("a queue of fewer levels takes what comes back into its last", async () => {
  const name = await freshQueue({ levels: 16 })
  await client.queue(name).send("x", { priority: 15 })
  await client.queue(name).deadLetter((await client.queue(name).read())!)
  await admin.updateQueue(name, { levels: 2 })
  await admin.redrive(name)
  expect(await client.queue(name).read()).toMatchObject({ priority: 1 })
})

test("10,000 come back in one call, oldest first", async () => {
  const dead = await freshQueue()
  const name = await freshQueue({ deadLetter: dead, maxAttempts: 1 })
  await client.queue(name).sendBatch(Array.from({ length: 10_001 }, (_, payload) => ({ payload })))
  await pool.query("update sluice.message m set attempt = 1 from sluice.queue q where q.id = m.queue and q.name = $1", [name])
  while ((await lengthOf(name)) > 0) expect(await client.queue(name).readBatch({ limit: 10_000 })).toEqual([])
  expect((await admin.redrive(name, { limit: 10_000 })).map(({ payload }) => payload)).toEqual(Array.from({ length: 10_000 }, (_, n) => n))
  expect((await admin.redrive(name)).map(({ payload }) => payload)).toEqual([10_000])
})

describe("a queue that cannot be meant", () => {
  test("is not there: QueueNotFoundError", async () => {
    const error = await errorOf(admin.redrive("nowhere"))
    expect(error).toBeInstanceOf(QueueNotFoundError)
    expect(error).toMatchObject({ queue: "nowhere" })
  })

  test("is a stream: WrongKindError", async () => {
    await pool.query("insert into sluice.queue (name, kind, created_at) values ('stream', 'stream', now())")
    expect(await errorOf(admin.redrive("stream"))).toBeInstanceOf(WrongKindError)
  })

  test("is the dead-letter queue itself: the error names those that bury there, and the transaction goes on", async () => {
    const dead = await freshQueue()
    const names = [await freshQueue({ deadLetter: dead }), await freshQueue({ deadLetter: dead })]
    await die(names[0]!, [1])
    for (const options of [{}, { preview: true }, { ids: ["1"] }, { filter: { payload: 1 } }]) {
      const error = await errorOf(admin.redrive(dead, options))
      expect(error).toBeInstanceOf(InvalidOptionError)
      expect(error).toMatchObject({ field: "queue", value: dead, message: expect.stringContaining(`where ${names.join(", ")} bury their dead: name the queue that they died in`) })
    }
    const tx = await pool.connect()
    await tx.query("begin")
    expect(await errorOf(admin.redrive(dead, { tx }))).toBeInstanceOf(InvalidOptionError)
    expect(idsOf(await admin.redrive(names[0]!, { tx }))).toHaveLength(1)
    await tx.query("commit")
    tx.release()
    expect(await lengthOf(names[0]!)).toBe(1)
  })

  test("and it is no mistake where something died in it, or it buries its own dead elsewhere, or nobody buries there", async () => {
    const dead = await freshQueue()
    await freshQueue({ deadLetter: dead })
    await die(dead, [1])
    expect(await admin.redrive(dead, { filter: { payload: 2 } })).toEqual([])
    expect(await admin.redrive(dead)).toHaveLength(1)
    const middle = await freshQueue({ deadLetter: dead })
    await freshQueue({ deadLetter: middle })
    expect(await admin.redrive(middle)).toEqual([])
    expect(await admin.redrive(await freshQueue())).toEqual([])
  })
})
