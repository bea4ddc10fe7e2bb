import type { Message, PoppedMessage, Queue, ReadFilter } from "@sluice/core"
import { equal } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { ids, openQueue, payloads, refuses, stopClock } from "./open-queue.ts"

type Taken = readonly (Message | PoppedMessage)[]

/** Every way to take messages out of a queue, as many as there are. */
const ways: { readonly [name: string]: (queue: Queue, filter?: ReadFilter) => Promise<Taken> } = {
  read: (queue, filter) => untilNone(() => queue.read({ filter })),
  readBatch: (queue, filter) => queue.readBatch({ limit: 100, filter }),
  readWithPoll: (queue, filter) => queue.readWithPoll({ limit: 100, wait: 0, filter }),
  pop: (queue, filter) => untilNone(() => queue.pop({ filter })),
  popBatch: (queue, filter) => queue.popBatch({ limit: 100, filter }),
}

async function untilNone<T>(take: () => Promise<T | null>): Promise<T[]> {
  const all: T[] = []
  for (let one = await take(); one !== null; one = await take()) all.push(one)
  return all
}

/** Payload, filter on it, and whether it matches, as `@>` of jsonb has it. */
const contained: readonly (readonly [payload: unknown, filter: unknown, matches: boolean])[] = [
  [{ kind: "a", n: 1 }, { kind: "a" }, true],
  [{ kind: "a", n: 1 }, {}, true],
  [{ kind: "a" }, { kind: "a", n: 1 }, false],
  [{ kind: "a" }, { kind: "A" }, false],
  [{ n: 1 }, { n: "1" }, false],
  [{ n: 1 }, { n: 1.0 }, true],
  [{ user: { id: 7, name: "x" }, at: 1 }, { user: { id: 7 } }, true],
  [{ user: { id: 7 } }, { id: 7 }, false],
  [{ tags: ["a", "b", "c"] }, { tags: ["c", "a"] }, true],
  [{ tags: ["a"] }, { tags: ["a", "b"] }, false],
  [{ tags: ["a"] }, { tags: [] }, true],
  [{ rows: [{ a: 1, b: 2 }] }, { rows: [{ a: 1 }] }, true],
  [["x", "y"], ["y"], true],
  [["x", "y"], "y", true],
  ["x", "x", true],
  ["x", "y", false],
  [null, null, true],
  [{ a: null }, { a: null }, true],
  [{}, { a: null }, false],
  [0, 0, true],
  [false, false, true],
]

/** `filter` of every way to read. */
export const filterCases: readonly ConformanceCase[] = [
  ...Object.entries(ways).map(([way, take]): ConformanceCase => ({
    name: `${way} with a filter takes what matches headers, payload or both, in order, and leaves the others as they were`,
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.sendBatch([
        { payload: { n: 1, kind: "a" }, headers: { tenant: "x", trace: 1 } },
        { payload: { n: 2, kind: "b" }, headers: { tenant: "x" } },
        { payload: { n: 3, kind: "a" }, headers: { tenant: "y" } },
        { payload: { n: 4, kind: "a" } },
        { payload: { n: 5, kind: "a" }, headers: { tenant: "x" }, priority: 0 },
        { payload: { n: 6, kind: "a" }, headers: { tenant: "x" }, delay: "1h" },
      ])
      const numbers = (taken: Taken): unknown[] => payloads(taken).map((payload) => (payload as { n: number }).n)
      equal(await take(queue, { payload: { kind: "c" } }), [], "no match")
      equal((await queue.metrics()).visible, 5, "untouched")
      equal(numbers(await take(queue, { headers: { tenant: "x" }, payload: { kind: "a" } })), [5, 1], "both, the urgent one first")
      equal(numbers(await take(queue, { headers: { tenant: "y" } })), [3], "by a header")
      equal(numbers(await take(queue, { payload: { kind: "a" } })), [4], "by the payload")
      const rest = await take(queue)
      equal([numbers(rest), rest[0]?.attempt], [[2], 1], "the rest without a filter, read for the first time")
    },
  })),
  {
    name: "a message without headers matches no header; one with an empty filter any",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("bare")
      for (const headers of [{ a: 1 }, { a: null }, { a: {} }]) equal(await queue.read({ filter: { headers } }), null, JSON.stringify(headers))
      equal(payloads(await queue.readBatch({ filter: { headers: {} } })), ["bare"], "an empty object is contained in all")
    },
  },
  {
    name: "a filter on the payload is containment: nested objects, arrays in any order, scalars of their own type",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      for (const [payload, filter, matches] of contained) {
        const id = await queue.send(payload)
        const popped = await queue.popBatch({ limit: 2, filter: { payload: filter as never } })
        equal(ids(popped), matches ? [id] : [], `${JSON.stringify(payload)} by ${JSON.stringify(filter)}`)
        await queue.purge()
      }
    },
  },
  {
    name: "a filter finds one match behind many that do not",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const sent = await queue.sendBatch(Array.from({ length: 500 }, (_, n) => ({ payload: { n } })))
      const found = await queue.read({ filter: { payload: { n: 499 } } })
      equal(found?.id, sent[499], "the last one")
      equal((await queue.read())?.id, sent[0], "the first one is next for who does not ask")
    },
  },
  {
    name: "a match at its limit of attempts is buried, and the next match is delivered",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context, { maxAttempts: 1 })
      await stopClock(context, 0)
      const filter = { payload: { kind: "a" } } as const
      const dead = await queue.send({ kind: "a" })
      await queue.read({ lease: "1s", filter })
      await stopClock(context, 10)
      const [other, next] = await queue.sendBatch([{ payload: { kind: "b" } }, { payload: { kind: "a" } }])
      equal((await queue.read({ filter }))?.id, next, "the next match")
      equal((await client.admin.archive.get(dead))?.outcome, "dead", "the one at its limit")
      equal((await client.admin.messages.get(other!))?.attempt, 0, "the one that does not match")
      equal(await client.admin.archive.count({ queue: name }), 1, "archived")
    },
  },
  {
    name: "readWithPoll with a filter waits for a match and is not content with others",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send({ kind: "b" })
      equal(await queue.readWithPoll({ wait: "60ms", filter: { payload: { kind: "a" } } }), [], "no match")
      const waiting = queue.readWithPoll({ wait: "10s", filter: { payload: { kind: "a" } } })
      await queue.send({ kind: "b" })
      const id = await queue.send({ kind: "a" })
      equal(ids(await waiting), [id], "the match")
      equal((await queue.metrics()).visible, 2, "the others")
    },
  },
  {
    name: "filters that cannot be meant are refused before any SQL",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      for (const take of Object.values(ways)) {
        for (const filter of [null, "x", 5, [], {}, { headers: undefined }] as never[]) await refuses(take(queue, filter), "invalid_option", { field: "filter" }, JSON.stringify(filter))
        await refuses(take(queue, { body: 1 } as never), "invalid_option", { field: "filter.body" }, "a misspelt one")
        for (const headers of [null, "x", 5, ["a"]] as never[]) await refuses(take(queue, { headers }), "invalid_option", { field: "filter.headers" }, JSON.stringify(headers))
        for (const payload of [1n, Number.NaN, "\0", () => 1] as never[]) await refuses(take(queue, { payload: { deep: payload } as never }), "payload_invalid", { path: "filter.payload.deep" }, String(payload))
      }
      equal((await queue.metrics()).visible, 1, "the message")
    },
  },
]
