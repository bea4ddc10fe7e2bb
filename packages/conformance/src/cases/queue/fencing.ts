import type { Client, Leased, Queue } from "@sluice/core"
import { equal, rejects } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { mustRead, openQueue, refuses, stopClock } from "./open-queue.ts"

/** Every way to settle or to move a lease. */
const settles: { readonly [name: string]: (queue: Queue, message: Leased) => Promise<unknown> } = {
  delete: (queue, message) => queue.delete(message),
  archive: (queue, message) => queue.archive(message),
  release: (queue, message) => queue.release(message),
  retry: (queue, message) => queue.retry(message, { delay: "1m", error: "late" }),
  setVt: (queue, message) => queue.setVt(message, "1h"),
  "setVt(0)": (queue, message) => queue.setVt(message, 0),
  extend: (queue, message) => queue.extend(message, "1h"),
}

/** All of them refuse, and leave the message as it is. */
async function refusesAll({ admin }: Client, queue: Queue, { id, lease }: Leased): Promise<void> {
  const before = await admin.messages.get(id)
  for (const [name, settle] of Object.entries(settles)) {
    await refuses(settle(queue, { id, lease }), "stale_lease", { queue: queue.name, id, lease }, `${name} under a stale lease`)
  }
  equal(await queue.deleteBatch([{ id, lease }]), { settled: [], refused: [id] }, "deleteBatch under a stale lease")
  equal(await queue.archiveBatch([{ id, lease }]), { settled: [], refused: [id] }, "archiveBatch under a stale lease")
  equal(await admin.messages.get(id), before, "the message afterwards")
}

/** A holder whose lease went stale in this way can settle nothing; whoever holds it now can. */
function stale(name: string, lose: (queue: Queue, held: Leased, at: (seconds: number) => Promise<void>) => Promise<unknown>): ConformanceCase {
  return {
    name: `stale ${name}`,
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context)
      const at = (seconds: number): Promise<void> => stopClock(context, seconds)
      await at(0)
      await queue.send("x")
      const held = await mustRead(queue, { lease: "30s" })
      await lose(queue, held, at)
      await refusesAll(client, queue, held)
      await at(100_000)
      const now = await queue.read()
      await refusesAll(client, queue, held)
      if (now) await queue.archive(now)
      equal((await queue.metrics()).length, 0, "the holder of today settles")
    },
  }
}

/** Only who holds a message may settle it. */
export const fencingCases: readonly ConformanceCase[] = [
  stale("after its lease ran out and somebody else read it", async (queue, _, at) => {
    await at(31)
    await mustRead(queue, { lease: "1h" })
  }),
  stale("after release", (queue, held) => queue.release(held)),
  stale("after release and a new read", async (queue, held) => {
    await queue.release(held)
    await mustRead(queue)
  }),
  stale("after setVt(0) and a new read", async (queue, held) => {
    await queue.setVt(held, 0)
    await mustRead(queue)
  }),
  stale("after setVt into the past and a new read", async (queue, held) => {
    await queue.setVt(held, new Date(0))
    await mustRead(queue)
  }),
  stale("after retry", (queue, held) => queue.retry(held)),
  stale("after retry with a delay", (queue, held) => queue.retry(held, { delay: "1h" })),
  stale("after two reads since", async (queue, _, at) => {
    for (const seconds of [40, 80]) {
      await at(seconds)
      await mustRead(queue, { lease: "30s" })
    }
  }),
  stale("after delete", (queue, held) => queue.delete(held)),
  stale("after archive", (queue, held) => queue.archive(held)),
  stale("after purge", (queue) => queue.purge()),
  stale("after pop by somebody else", async (queue, held) => {
    await queue.setVt(held, 0)
    await queue.pop()
  }),
  {
    name: "stale after a read that rolled back",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context)
      await queue.send("x")
      const rolledBack: Leased[] = []
      await rejects(context.driver.transaction(async (tx) => {
        rolledBack.push(await mustRead(queue, { tx }))
        throw new Error("roll back")
      }), "the transaction")
      await refusesAll(client, queue, rolledBack[0]!)
      const held = await mustRead(queue)
      equal(held.attempt, 1, "the rolled-back read does not count")
      await refusesAll(client, queue, rolledBack[0]!)
      await queue.delete(held)
    },
  },
  {
    name: "a settle that rolled back leaves the lease with its holder",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      const held = await mustRead(queue)
      for (const settle of [queue.delete, queue.archive, queue.release, queue.retry]) {
        await rejects(context.driver.transaction(async (tx) => {
          await settle(held, { tx })
          throw new Error("roll back")
        }), "the transaction")
      }
      await queue.archive(held)
    },
  },
  ...Object.entries(settles).map(([name, settle]): ConformanceCase => ({
    name: `a lease that ran out and that nobody took since: ${name} still works`,
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.send("x")
      const held = await mustRead(queue, { lease: "30s" })
      await stopClock(context, 3_600)
      await settle(queue, held)
    },
  })),
  {
    name: "a lease that ran out can be extended, and then it is held again",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.send("x")
      const held = await mustRead(queue, { lease: "30s" })
      await stopClock(context, 40)
      await queue.extend(held, "60s")
      equal(await queue.read(), null, "read by somebody else")
      await queue.delete(held)
    },
  },
  {
    name: "swapped leases: neither settles, the right pairs do",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
      const [a, b] = [await mustRead(queue), await mustRead(queue)]
      const swapped = [{ id: a.id, lease: b.lease }, { id: b.id, lease: a.lease }]
      equal(await queue.deleteBatch(swapped), { settled: [], refused: [a.id, b.id] }, "deleteBatch")
      equal(await queue.archiveBatch(swapped), { settled: [], refused: [a.id, b.id] }, "archiveBatch")
      for (const one of swapped) await refuses(queue.delete(one), "stale_lease", one, "delete")
      equal(await queue.deleteBatch([b, a]), { settled: [a.id, b.id], refused: [] }, "the right pairs")
    },
  },
  {
    name: "one message under an old and a new lease in one batch: settled once, by the new one",
    rule: "core",
    async run(context) {
      for (const oldFirst of [true, false]) {
        const { client, queue, name } = await openQueue(context)
        await queue.send("x")
        const old = await mustRead(queue, { lease: 0 })
        const now = await mustRead(queue)
        const { settled } = await queue.archiveBatch(oldFirst ? [old, now] : [now, old])
        equal(settled, [now.id], `settled, the old one first: ${oldFirst}`)
        equal(await client.admin.archive.count({ queue: name }), 1, "archived")
      }
    },
  },
  {
    name: "the zombie of a batch: its settles are refused one by one, the new holder's all work",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      const sent = await queue.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
      const zombie = await queue.readBatch({ limit: 4, lease: "30s" })
      await stopClock(context, 31)
      const taken = await queue.readBatch({ limit: 2, lease: "30s" })
      const result = await queue.deleteBatch(zombie)
      equal(result, { settled: sent.slice(2), refused: sent.slice(0, 2) }, "the zombie keeps what nobody took")
      equal((await queue.archiveBatch(taken)).settled, sent.slice(0, 2), "the new holder")
    },
  },
  {
    name: "another queue's name settles nothing",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context)
      const other = await openQueue(context)
      await queue.send("x")
      const held = await mustRead(queue)
      await refusesAll(client, other.queue, held)
      await queue.delete(held)
    },
  },
  {
    name: "a message without a lease cannot be settled by any",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context)
      const id = await queue.send("never leased")
      for (const lease of ["0", "1", "9223372036854775807"]) await refusesAll(client, queue, { id, lease })
    },
  },
  {
    name: "every claim has a fresh lease",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context, { maxAttempts: null })
      await queue.send("x")
      const leases = new Set<string>()
      for (let n = 0; n < 50; n++) leases.add((await mustRead(queue, { lease: 0 })).lease)
      equal(leases.size, 50, "different leases of 50 reads")
    },
  },
]
