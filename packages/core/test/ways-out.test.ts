import type { Queue, QueueOptions } from "@sluice/core"
import { afterEach, describe, expect, test } from "vitest"
import { flipDuring, flipStep, flipUntil, makeFlipPay } from "./helpers/flip.ts"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()
const maintenance = client.maintenance()
await client.admin.createQueue("dead")
const children = client.queue<string>((await client.admin.createQueue("children")).name)

afterEach(async () => {
  await moveClock(pool, "0")
  for (const { name } of await client.admin.listQueues()) await client.admin.purge(name)
})

interface Place {
  readonly q: Queue<string>
  readonly id: string
}

interface Way {
  readonly leave: (place: Place) => Promise<unknown>
  /** Whether those that wait for the message see it done. */
  readonly done: boolean
  /** Of the queue, beyond what all have. */
  readonly options?: QueueOptions
  /** The way takes the rest of the queue along. */
  readonly all?: boolean
  /** It waits for a lock of a flip, by which the message is moved meanwhile. */
  readonly waits?: boolean
}

const held = async ({ q, id }: Place) => {
  const message = (await q.read())!
  expect(message.id).toBe(id)
  return message
}

/** Delivered as often as it may be. */
async function wearOut(place: Place): Promise<void> {
  for (let i = 0; i < 2; i++) await place.q.release(await held(place))
}

const ways: Record<string, Way> = {
  delete: { leave: async (at) => at.q.delete(await held(at)), done: true },
  archive: { leave: async (at) => at.q.archive(await held(at)), done: true },
  "a batch of deletes": { leave: async (at) => at.q.deleteBatch([await held(at)]), done: true },
  "a batch of archives": { leave: async (at) => at.q.archiveBatch([await held(at)]), done: true },
  pop: { leave: ({ q }) => q.pop(), done: true },
  deadLetter: { leave: async (at) => at.q.deadLetter(await held(at)), done: false },
  "deadLetter into a queue": { leave: async (at) => at.q.deadLetter(await held(at)), done: false, options: { deadLetter: "dead" } },
  "retry at the limit": {
    leave: async (at) => {
      await at.q.release(await held(at))
      expect((await at.q.retry(await held(at))).outcome).toBe("dead")
    },
    done: false,
  },
  "burial by a claim": {
    leave: async (at) => {
      await wearOut(at)
      const next = await at.q.read()
      if (next) await at.q.release(next)
    },
    done: false,
  },
  "burial by a pop that finds nothing else": {
    leave: async (at) => {
      await client.admin.messages.delete(at.q.name, await secondOf(at))
      await wearOut(at)
      expect(await at.q.pop()).toBeNull()
      await at.q.send("second", { group: "g" })
    },
    done: false,
  },
  "cancel, waiting": { leave: async ({ q, id }) => expect(await q.cancel(id)).toBe("cancelled"), done: false },
  "cancel, waiting, into the archive": { leave: async ({ q, id }) => expect(await q.cancel(id)).toBe("cancelled"), done: false, options: { done: "archive" } },
  "cancel, running, then release": {
    leave: async (at) => {
      const message = await held(at)
      expect(await at.q.cancel(at.id)).toBe("requested")
      await at.q.release(message)
    },
    done: false,
  },
  "cancel, running, then a claim": {
    leave: async (at) => {
      await held(at)
      expect(await at.q.cancel(at.id)).toBe("requested")
      await moveClock(pool, "31 seconds")
      await at.q.release((await at.q.read())!)
    },
    done: false,
  },
  "cancel, running, but done": {
    leave: async (at) => {
      const message = await held(at)
      await at.q.cancel(at.id)
      await at.q.delete(message)
    },
    done: true,
  },
  "expiry met by a claim": {
    leave: async ({ q, id }) => {
      await q.edit(id, { expireAt: new Date(Date.now() + 60_000) })
      await moveClock(pool, "2 minutes")
      const next = (await q.read())!
      expect(next.payload).toBe("second")
      await q.release(next)
    },
    done: false,
  },
  purge: { leave: ({ q }) => q.purge(), done: false, all: true },
  "admin delete": { leave: ({ q, id }) => client.admin.messages.delete(q.name, id), done: false },
  "admin delete, held": { leave: async (at) => (await held(at), client.admin.messages.delete(at.q.name, at.id)), done: false },
  "admin archive": { leave: ({ q, id }) => client.admin.messages.archive(q.name, id), done: true },
  drop: { leave: async (at) => (await held(at), client.admin.dropQueue(at.q.name, { force: true })), done: false, all: true },
  "drop with its archive kept": { leave: async (at) => (await held(at), client.admin.dropQueue(at.q.name, { force: true, keepArchive: true })), done: false, all: true },
}

const secondOf = async ({ q, id }: Place): Promise<string> => (await client.admin.messages.list({ queue: q.name })).items.find((message) => message.id !== id)!.id

const storages: Record<string, QueueOptions> = {
  shared: {},
  dedicated: { storage: "dedicated" },
  "partitioned by id": { partition: { by: "id", interval: 10, retention: 10 } },
  "partitioned by time": { partition: { by: "time", interval: "1h", retention: "1h", archive: true } },
}
const limits: Record<string, QueueOptions> = { fifo: { fifo: true }, "one of a group at once": { groupConcurrency: 1 } }

/** One of each kind: a server is slow to make hundreds of dedicated ones. */
const names = new Map<string, string>()

/** A message with a key, first of its group, and three that wait for it. */
async function place(options: QueueOptions): Promise<Place & { kept: Record<"cancel" | "run" | "wait", string>; again: () => Promise<unknown> }> {
  const wanted = { maxAttempts: 2, backoff: null, ...options }
  const kind = JSON.stringify(wanted)
  if (!names.has(kind)) names.set(kind, await freshQueue(wanted))
  const q = client.queue<string>(names.get(kind)!)
  const [id] = await q.sendBatch([{ payload: "first", key: "k", group: "g" }, { payload: "second", group: "g", priority: 3 }])
  const after = [{ queue: q.name, id: id! }]
  const [cancel, run, wait] = await children.sendBatch((["cancel", "run", "wait"] as const).map((ifFailed) => ({ payload: ifFailed, after, ifFailed })))
  expect(await q.send("third", { key: "k" })).toBe(id)
  return { q, id: id!, kept: { cancel: cancel!, run: run!, wait: wait! }, again: () => client.admin.createQueue(q.name, wanted) }
}

const stateOf = async (id: string) => (await client.admin.messages.get(id))?.state ?? "gone"

async function expectLeft({ q, id, kept, again }: Awaited<ReturnType<typeof place>>, { done, all }: Way): Promise<void> {
  expect({ cancel: await stateOf(kept.cancel), run: await stateOf(kept.run), wait: await stateOf(kept.wait) }).toEqual(
    done ? { cancel: "visible", run: "visible", wait: "visible" } : { cancel: "gone", run: "visible", wait: "parked" },
  )
  await again()
  if (all) await q.send("second", { group: "g" })
  const next = (await q.read())!
  expect(next?.payload).toBe("second")
  await q.delete(next)
  const third = await q.send("third", { key: "k" })
  expect(third).not.toBe(id)
  expect((await q.read())?.id).toBe(third)
}

describe.each(Object.entries(storages))("%s: a message that leaves by", (_storage, storage) => {
  describe.each(Object.entries(limits))("%s:", (_limit, limit) => {
    test.each(Object.entries(ways))("%s frees its key and its slot and resolves who waits for it", async (_way, way) => {
      const message = await place({ ...storage, ...limit, ...way.options })
      await way.leave(message)
      await expectLeft(message, way)
    })
  })
})

describe("in the middle of a flip, a message that leaves by", () => {
  test.each(Object.entries(ways))("%s frees its key and its slot and resolves who waits for it", async (_way, way) => {
    for (const moved of [false, true]) {
      const message = await place({ fifo: true, ...way.options })
      await makeFlipPay(pool, 500)
      expect((await flipStep(pool)).did).toBe("begun")
      if (moved) expect((await flipStep(pool)).did).toBe("moved")
      await way.leave(message)
      await expectLeft(message, way)
      await flipUntil(pool, "truncated")
      await message.q.purge()
      await children.purge()
      await moveClock(pool, "0")
    }
  })

  test.each(["delete", "archive", "deadLetter", "retry", "admin delete", "admin archive", "edit"])("%s, while it is moved", async (how) => {
    const message = await place({ fifo: true, maxAttempts: 1 })
    const { q, id } = message
    await makeFlipPay(pool, 500)
    const first = how.startsWith("admin") || how === "edit" ? undefined : await held(message)
    expect((await flipStep(pool)).did).toBe("begun")
    await flipDuringMove(id, async () => {
      if (how === "delete" || how === "archive" || how === "deadLetter") return q[how](first!)
      if (how === "retry") return q.retry(first!)
      if (how === "edit") return expect(await q.edit(id, { payload: "edited" })).toBe("edited")
      return client.admin.messages[how === "admin delete" ? "delete" : "archive"](q.name, id)
    })
    if (how === "edit") return expect((await client.admin.messages.get(id))?.payload).toBe("edited")
    await expectLeft(message, { leave: async () => {}, done: how.endsWith("archive") || how === "delete" })
  })
})

/** `settle` waits for the row, which is moved from one segment to the other meanwhile. */
async function flipDuringMove(id: string, settle: () => Promise<unknown>): Promise<void> {
  const mover = await pool.connect()
  try {
    await mover.query("begin")
    expect((await flipStep(mover)).did).toBe("moved")
    const settled = settle()
    settled.catch(() => {}) // awaited below
    await expect.poll(async () => (await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount).toBeGreaterThan(0)
    await mover.query("commit")
    await settled
  } finally {
    await mover.query("rollback")
    mover.release()
  }
  expect(id).toBeTruthy()
  await flipUntil(pool, "truncated")
}

test("a child is woken, and another cancelled, while it is moved", async () => {
  for (const ifFailed of ["run", "cancel"] as const) {
    const parents = client.queue<string>(await freshQueue({ storage: "dedicated" }))
    const parent = await parents.send("parent")
    const child = await children.send("child", { after: [{ queue: parents.name, id: parent }], ifFailed })
    await makeFlipPay(pool, 500)
    expect((await flipStep(pool)).did).toBe("begun")
    const message = (await parents.read())!
    await flipDuringMove(child, () => parents.deadLetter(message))
    expect(await stateOf(child)).toBe(ifFailed === "run" ? "visible" : "gone")
    await children.purge()
  }
})

test("who sends a child while its parent is moved waits for the parent", async () => {
  const parents = client.queue<string>(await freshQueue())
  const parent = await parents.send("parent")
  await makeFlipPay(pool, 500)
  expect((await flipStep(pool)).did).toBe("begun")
  let child = ""
  await flipDuringMove(parent, async () => (child = await parents.send("child", { after: [parent] })))
  expect(await stateOf(child)).toBe("parked")
})

test("who replaces a message while it is moved sends no second one", async () => {
  const q = client.queue<string>(await freshQueue())
  const id = await q.send("first", { key: "k" })
  await makeFlipPay(pool, 500)
  expect((await flipStep(pool)).did).toBe("begun")
  await flipDuringMove(id, async () => expect(await q.send("second", { key: "k", onConflict: "replace" })).toBe(id))
  expect((await q.readBatch({ limit: 10 })).map(({ payload }) => payload)).toEqual(["second"])
})

test.each(["delete", "deadLetter"] as const)("%s by who looked up the segment before a flip", async (how) => {
  const message = await place({ fifo: true })
  await makeFlipPay(pool, 500)
  const first = await held(message)
  await flipDuring(pool, () => message.q[how](first))
  await expectLeft(message, { leave: async () => {}, done: how === "delete" })
  await flipUntil(pool, "truncated")
})

test.each(Object.entries(limits))("retention that drops a partition with what is unread in it (%s)", async (_limit, limit) => {
  const message = await place({ ...limit, partition: { by: "id", interval: 10, retention: 10, unread: "drop" } })
  for (let i = 0; i < 30; i++) await message.q.send("filler")
  await maintenance.run()
  expect(await stateOf(message.id)).toBe("gone")
  await message.q.popBatch({ limit: 100 })
  await expectLeft(message, { leave: async () => {}, done: false, all: true })
})

test.each(Object.entries(storages))("a message that comes back by redrive has its key and its place again (%s)", async (_storage, storage) => {
  for (const deadLetter of [null, "dead"]) {
    const { q, id, kept } = await place({ ...storage, fifo: true, deadLetter })
    await q.deadLetter(await held({ q, id }))
    await pool.query("select sluice.clear_keys()")
    expect(await client.admin.redrive(q.name)).toHaveLength(1)
    expect(await q.send("fourth", { key: "k" })).toBe(id)
    expect(await stateOf(kept.wait)).toBe("parked")
    const again = await held({ q, id })
    expect(await q.read()).toBeNull()
    await q.delete(again)
    expect([await stateOf(kept.run), await stateOf(kept.wait)]).toEqual(["visible", "visible"])
    expect((await q.read())?.payload).toBe("second")
    expect(await q.send("fifth", { key: "k" })).not.toBe(id)
    await q.purge()
    await children.purge()
  }
})

test("a redrive leaves a key to who has it by now", async () => {
  const { q, id } = await place({ fifo: true })
  await q.deadLetter(await held({ q, id }))
  const other = await q.send("other", { key: "k" })
  await client.admin.redrive(q.name)
  expect(await q.send("third", { key: "k" })).toBe(other)
})

test("whoever adds a child to a queue that is just dropped is waited for, and the child is not forgotten", async () => {
  for (const storage of ["shared", "dedicated"] as const) {
    const parents = client.queue<string>(await freshQueue({ storage }))
    const parent = await parents.send("parent")
    const tx = await pool.connect()
    await tx.query("begin")
    const child = await children.send("child", { after: [{ queue: parents.name, id: parent }], ifFailed: "run", tx })
    const dropped = client.admin.dropQueue(parents.name, { force: true })
    await expect.poll(async () => (await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount).toBe(1)
    await tx.query("commit")
    tx.release()
    await dropped
    expect(await stateOf(child)).toBe("visible")
  }
})

test("nothing is left behind", async () => {
  const { rows } = await pool.query("select (select count(*)::int from sluice.dependency where not failed) as waiting, (select count(*)::int from sluice.cancellation) as cancelled")
  expect(rows[0].waiting).toBe(0)
})
