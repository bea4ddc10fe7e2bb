import type { Client, Leased, Queue } from "@sluice/core"
import { equal, ok, rejects } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { midnight, mustPark, mustRead, openQueue, payloads, refuses, stopClock } from "./open-queue.ts"

type Writes = Client["admin"]["messages"]

/** Every write by id, and whether it leaves the message in its queue. */
const writes: { readonly [name: string]: readonly [stays: boolean, (messages: Writes, queue: string, id: string, tx?: unknown) => Promise<unknown>] } = {
  delete: [false, (messages, queue, id, tx) => messages.delete(queue, id, joined(tx))],
  archive: [false, (messages, queue, id, tx) => messages.archive(queue, [id], joined(tx))],
  "setVt to later": [true, (messages, queue, id, tx) => messages.setVt(queue, id, "1h", joined(tx))],
  "setVt to now": [true, (messages, queue, id, tx) => messages.setVt(queue, id, 0, joined(tx))],
}
const joined = (tx: unknown): { tx?: unknown } => (tx === undefined ? {} : { tx })

/** All that a holder may do is refused, and changes nothing. */
async function isStale({ admin }: Client, queue: Queue, held: Leased): Promise<void> {
  const before = await admin.messages.get(held.id)
  const facts = { queue: queue.name, id: held.id, lease: held.lease }
  for (const settle of [queue.delete, queue.archive, queue.release, queue.retry]) await refuses(settle(held), "stale_lease", facts, "a settle")
  await refuses(queue.setVt(held, "1h"), "stale_lease", facts, "setVt")
  await refuses(queue.extend(held, "1h"), "stale_lease", facts, "extend")
  equal(await queue.deleteBatch([held]), { settled: [], refused: [held.id] }, "deleteBatch")
  equal(await admin.messages.get(held.id), before, "the message afterwards")
}

/** `admin.messages`: writes by id alone, which override leases. */
export const byIdCases: readonly ConformanceCase[] = [
  ...Object.entries(writes).map(([name, [stays, write]]): ConformanceCase => ({
    name: `by id, ${name} overrides a lease: what its holder does next is stale`,
    rule: "core",
    async run(context) {
      const { client, queue, name: of } = await openQueue(context)
      await queue.send("x")
      const held = await mustRead(queue, { lease: "1h" })
      await write(client.admin.messages, of, held.id)
      await isStale(client, queue, held)
      equal((await queue.metrics()).length, stays ? 1 : 0, "messages left")
      equal((await queue.metrics()).inFlight, 0, "in flight")
    },
  })),
  ...Object.entries(writes).map(([name, [, write]]): ConformanceCase => ({
    name: `by id, ${name} in a transaction that rolls back: the holder still holds`,
    rule: "core",
    async run(context) {
      const { client, queue, name: of } = await openQueue(context)
      await queue.send("x")
      const held = await mustRead(queue, { lease: "1h" })
      await rejects(context.driver.transaction(async (tx) => {
        await write(client.admin.messages, of, held.id, tx)
        throw new Error("roll back")
      }), "the transaction")
      await queue.delete(held)
      equal(await client.admin.archive.count({ queue: of }), 0, "archived")
    },
  })),
  {
    name: "by id, delete answers with the ids that were there: in the order given, each once, unknown ones left out",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const sent = await queue.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
      const [a, b, c] = sent as [string, string, string]
      await mustRead(queue)
      equal(await client.admin.messages.delete(name, [c, "9223372036854775807", a, c, "0", a]), [c, a], "deleted")
      equal(await client.admin.messages.delete(name, [c, a]), [], "deleted once more")
      equal(await client.admin.messages.delete(name, "1"), [], "an id of nothing")
      equal(await client.admin.messages.delete(name, b), [b], "one id")
      equal(payloads(await queue.readBatch({ limit: 9 })), [4], "the others")
    },
  },
  {
    name: "by id, archive keeps all of the message with outcome done, delayed and leased ones alike",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context, { backoff: null })
      const failed = await queue.send({ n: 1 }, { headers: { h: [1] }, priority: 2 })
      await queue.retry(await mustRead(queue), { error: new Error("no") })
      await mustRead(queue)
      const delayed = await queue.send("later", { delay: "1h" })
      const before = await client.admin.messages.get(failed)
      equal(await client.admin.messages.archive(name, [delayed, failed, failed, "1"]), [delayed, failed], "archived")
      const after = await client.admin.archive.get(failed)
      const kept = ({ id, queue: of, priority, attempt, enqueuedAt, origin, headers, payload, errors }: NonNullable<typeof before | typeof after>): unknown =>
        ({ id, of, priority, attempt, enqueuedAt, origin, headers, payload, errors })
      equal(kept(after!), kept(before!), "the message")
      equal([after?.outcome, after?.attempt, after?.errors.length], ["done", 2, 1], "outcome, attempt, errors")
      equal((await client.admin.archive.get(delayed))?.attempt, 0, "attempts of the delayed one")
      equal([(await queue.metrics()).length, await queue.read()], [0, null], "left in the queue")
      equal(await client.admin.messages.archive(name, failed), [], "once more")
    },
  },
  {
    name: "by id, setVt makes a message delayed, ready now, or ready at a time, and nobody holds it",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      await stopClock(context, 0)
      const id = await queue.send("x")
      const { messages } = client.admin
      const state = async (): Promise<unknown> => (await messages.get(id))?.state
      await mustRead(queue, { lease: "1h" })
      equal([await messages.setVt(name, id, "90s"), await state()], [new Date(midnight + 90_000), "delayed"], "in 90 s")
      equal(await queue.read(), null, "read meanwhile")
      equal([await messages.setVt(name, id, new Date(midnight + 60_000)), await state()], [new Date(midnight + 60_000), "delayed"], "at a time")
      for (const past of [0, new Date(0), new Date(midnight - 1)] as const) {
        equal([await messages.setVt(name, id, past), await state()], [new Date(midnight), "visible"], `${String(past)} is now`)
      }
      const { delayed, inFlight, visible } = await queue.metrics()
      equal([delayed, inFlight, visible], [0, 0, 1], "delayed, in flight, visible")
      equal((await mustRead(queue)).attempt, 2, "the attempt stays counted")
      equal(await messages.setVt(name, "1", "1s"), null, "an id of nothing")
    },
  },
  {
    name: "by id, a parked message can be made ready, archived and deleted",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const { messages } = client.admin
      const sent = await queue.sendBatch([1, 2, 3].map((payload) => ({ payload })))
      for (const id of sent) await mustPark(context, queue, id)
      const [a, b, c] = sent as [string, string, string]
      ok((await messages.setVt(name, a, 0)) instanceof Date, "setVt must answer with a time")
      equal([await messages.archive(name, b), await messages.delete(name, c)], [[b], [c]], "archived, deleted")
      equal(payloads(await queue.readBatch({ limit: 9 })), [1], "ready")
    },
  },
  {
    name: "by id, a message is reached by the name of its own queue alone",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context)
      const other = await openQueue(context)
      const id = await queue.send("mine")
      const before = await client.admin.messages.get(id)
      equal(await client.admin.messages.delete(other.name, id), [], "delete")
      equal(await client.admin.messages.archive(other.name, [id]), [], "archive")
      equal(await client.admin.messages.setVt(other.name, id, "1h"), null, "setVt")
      equal(await client.admin.messages.get(id), before, "the message")
    },
  },
  {
    name: "by id, what cannot be meant is refused before any SQL; no ids are no work",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const id = await queue.send("x")
      const { messages } = client.admin
      for (const method of ["delete", "archive"] as const) {
        equal(await messages[method](name, []), [], `${method} of none`)
        for (const ids of [null, 1, {}, new Set([id])] as never[]) await refuses(messages[method](name, ids), "invalid_option", { field: "ids" }, method)
        await refuses(messages[method](name, [id, "x"]), "invalid_option", { field: "ids[1]" }, method)
        await refuses(messages[method]("no name", id), "invalid_name", {}, method)
      }
      await refuses(messages.setVt(name, 1 as never, "1s"), "invalid_option", { field: "id" }, "setVt of a number")
      for (const vt of [5, "soon", new Date(Number.NaN), null] as never[]) await refuses(messages.setVt(name, id, vt), "invalid_option", { field: "vt" }, "setVt")
      equal((await queue.metrics()).visible, 1, "the message")
    },
  },
]
