import { type Client, type Driver, type Handler, type Message, outcome } from "@sluice/core"
import { equal, inTime, ok, rejects, sleep } from "../assert.ts"
import type { DriverUnderTest } from "../harness.ts"
import type { Rule } from "../rules.ts"
import { streamHops } from "./stream/hops.ts"

/** One end of a hop. */
export interface HopSide {
  readonly client: Client
  readonly driver: Driver
  /** A transaction of the user's own, opened by the library itself where the set-up can. */
  begin<T>(work: (tx: unknown) => Promise<T>): Promise<T>
  /** A client whose LISTEN stands once `listening` resolves; undefined for a driver without listen(). */
  listener?(): { readonly client: Client; readonly listening: Promise<void> }
}

/** What a hop works with: two drivers on one database, and a queue that no other case uses. */
interface Hop {
  readonly from: HopSide
  readonly to: HopSide
  readonly queue: string
}

export interface HopCase {
  readonly name: string
  readonly rule: Rule
  readonly needs?: readonly "listen"[]
  run(hop: Hop): Promise<void>
}

const rule = "hops"

/** Payloads that a careless driver changes on the way. */
const samples: readonly (readonly [string, unknown])[] = [
  ["an object", { order: 7, lines: [{ sku: "a-1", price: 0.1 }, null], paid: false, nested: { empty: {}, list: [] } }],
  ["null", null],
  ["a string", `it's "quoted" \\ $1 \n`],
  ["a string that looks like JSON", `{"a": 1}`],
  ["a number", 1.5],
  ["an array", [1, [2, [3]], "x", null, true]],
  ["unicode", { "ключ": "🚀 𝒳 \u2028 e\u0301", "שלום": "你好" }],
  ["64-bit ids and times as text", { id: "9223372036854775807", at: new Date(1_767_323_045_678).toISOString() }],
  ["1 MB", { text: "0123456789abcdef".repeat(65_536) }],
]

const headers = { "trace-id": "00-ab", attempt: 3, nested: { list: ["ü", null] } }

const queueHops: readonly HopCase[] = [
  ...samples.map<HopCase>(([name, payload]) => ({
    name: `${name}: sent, read and deleted outside of a transaction`,
    rule,
    async run({ from, to, queue }) {
      const id = await from.client.queue(queue).send(payload, { headers, priority: 2 })
      const message = await arrives(from, to, queue, { id, payload })
      await to.client.queue(queue).delete(message)
      equal(await from.client.admin.messages.get(id), null, "the sender's look at what the other side deleted")
    },
  })),
  {
    name: "sent, read and archived in the caller's own transactions",
    rule,
    async run({ from, to, queue }) {
      const [out, into] = [from.client.queue(queue), to.client.queue(queue)]
      const [, payload] = samples[0]!
      const id = await from.begin(async (tx) => {
        const sent = await out.send(payload, { headers, priority: 2, tx })
        equal(await into.read(), null, "what the other side reads before the sender commits")
        return sent
      })
      await to.begin(async (tx) => {
        const message = (await into.read({ tx })) ?? undefined
        sameMessage(message, { id, payload }, "read in a transaction")
        await into.archive(message!, { tx })
        equal((await from.client.admin.messages.get(id))?.state, "visible", "the sender's look before the reader commits")
      })
      const archived = await from.client.admin.archive.get(id)
      equal([archived?.payload, archived?.headers, archived?.outcome], [payload, headers, "done"], "the sender's look at the archive")
    },
  },
  {
    name: "what the sender rolls back never arrives",
    rule,
    async run({ from, to, queue }) {
      const rolledBack = from.begin(async (tx) => {
        await from.client.queue(queue).send("never", { tx })
        throw new Error("rolled back")
      })
      await rejects(rolledBack, "the sender's transaction")
      equal(await to.client.queue(queue).read(), null, "what the other side reads")
    },
  },
  {
    name: "what the reader rolls back goes on",
    rule,
    async run({ from, to, queue }) {
      const id = await from.client.queue(queue).send("again")
      const rolledBack = to.begin(async (tx) => {
        const message = await to.client.queue(queue).read({ tx })
        await to.client.queue(queue).delete(message!, { tx })
        throw new Error("rolled back")
      })
      await rejects(rolledBack, "the reader's transaction")
      const message = await from.client.queue(queue).read()
      equal([message?.id, message?.attempt, message?.payload], [id, 1, "again"], "what the sender reads then")
    },
  },
  {
    name: "a batch keeps its order, its ids and its options",
    rule,
    async run({ from, to, queue }) {
      const items = samples.slice(0, 8).map(([name, payload], i) => ({ payload, priority: i % 4, headers: { name } }))
      const ids = await from.client.queue(queue).sendBatch(items)
      const messages = await to.client.queue(queue).readBatch({ limit: 100 })
      const expected = items.map((item, i) => ({ id: ids[i]!, ...item })).sort((a, b) => a.priority - b.priority)
      const received = messages.map(({ id, payload, priority, headers: own }) => ({ id, payload, priority, headers: own }))
      equal(received, expected, "what the other side reads, by priority")
      const { settled, refused } = await to.client.queue(queue).deleteBatch(messages)
      equal([settled.length, refused.length], [8, 0], "settled and refused")
      equal((await from.client.queue(queue).metrics()).length, 0, "messages that the sender counts afterwards")
    },
  },
  {
    name: "a lease travels: read here, settled there, stale here",
    rule,
    async run({ from, to, queue }) {
      await from.client.queue(queue).send("mine")
      const message = await from.client.queue(queue).read()
      await to.client.queue(queue).delete({ id: message!.id, lease: message!.lease })
      const error = await rejects(from.client.queue(queue).delete(message!), "the second settle")
      equal((error as { code?: string }).code, "stale_lease", "the code of the error")
    },
  },
  {
    name: "a retry there is the second delivery here, with a lease of its own",
    rule,
    async run({ from, to, queue }) {
      const id = await from.client.queue(queue).send("again", { headers })
      const first = await to.client.queue(queue).read()
      await to.client.queue(queue).retry(first!, { error: new Error("not yet"), delay: 0 })
      const second = await from.client.queue(queue).read()
      equal([second?.id, second?.attempt, second?.headers], [id, 2, headers], "the second delivery")
      ok(second!.lease !== first!.lease, "the second delivery must have a lease of its own")
    },
  },
  {
    name: "a worker there handles what was sent here, and the sender sees what became of it",
    rule,
    async run({ from, to, queue }) {
      await from.client.admin.updateQueue(queue, { done: "archive" })
      const sent = await from.client.queue(queue).sendBatch(["done", "fail", "later"].map((payload) => ({ payload, headers })))
      const seen: unknown[] = []
      await drain(to, to.client.queue(queue).handler(({ payload, headers: own }) => {
        seen.push([payload, own])
        if (payload === "fail") throw new Error("failed there")
        return payload === "later" ? outcome.snooze("1h") : undefined
      }, { concurrency: 1 }))
      equal(seen, ["done", "fail", "later"].map((payload) => [payload, headers]), "what the other side handled")
      const [done, failed, later] = sent as [string, string, string]
      equal((await from.client.admin.archive.get(done))?.outcome, "done", "the sender's look at the first one")
      const kept = await from.client.admin.messages.get(failed)
      equal([kept?.attempt, kept?.errors.map(({ message }) => message)], [1, ["failed there"]], "the sender's look at the second one")
      equal((await from.client.admin.messages.get(later))?.attempt, 0, "the sender's look at the third one")
    },
  },
  {
    name: "a transactional worker there: the sender sees its effects with the settle, and nothing of what failed",
    rule,
    async run({ from, to, queue }) {
      const table = `public.${queue}`
      await from.driver.query(`create table ${table} (n int4)`)
      await from.client.queue(queue).sendBatch([1, 2, 3].map((payload) => ({ payload })))
      await drain(to, to.client.queue(queue).handler(async ({ payload }, { tx }) => {
        await to.driver.within(tx).query(`insert into ${table} values ($1::int4)`, [payload as number])
        if (payload === 2) throw new Error("failed there")
      }, { transactional: true, batch: 2 }))
      const rows = await from.driver.query<{ n: number }>(`select n from ${table} order by n`)
      equal(rows.map(({ n }) => n), [1, 3], "effects that the sender sees")
      equal((await from.client.queue(queue).metrics()).delayed, 1, "messages that wait for another attempt")
    },
  },
  {
    name: "a wake reaches a reader that waits",
    rule,
    needs: ["listen"],
    async run({ from, to, queue }) {
      const { client, listening } = to.listener!()
      try {
        const waiting = client.queue(queue).readWithPoll({ wait: "20s", interval: "20s" })
        await inTime(listening, "listen()")
        await sleep(50) // the reader looks once more when its LISTEN stands
        const id = await from.begin((tx) => from.client.queue(queue).send("wake up", { tx }))
        await from.client.wake(queue)
        const [message] = await inTime(waiting, "readWithPoll() was not woken")
        equal(message?.id, id, "the message that the reader was woken for")
      } finally {
        await client.close()
      }
    },
  },
]

/** Every payload by every way of sending it, then streams. */
export const hopCases: readonly HopCase[] = [...queueHops, ...streamHops(samples, headers)]

async function drain(side: HopSide, handler: Handler): Promise<void> {
  const worker = side.client.worker([handler], { maintenance: false })
  await inTime(worker.drain(), "drain()", 10_000)
}

/** Reads on the other side, and compares with what was sent and with what the sender sees of it. */
async function arrives(from: HopSide, to: HopSide, queue: string, sent: { id: string; payload: unknown }): Promise<Message> {
  const stored = await from.client.admin.messages.get(sent.id)
  const message = (await to.client.queue(queue).read({ lease: "1m" })) ?? undefined
  sameMessage(message, sent, "read on the other side")
  equal(message.enqueuedAt, stored?.enqueuedAt, "enqueuedAt, as reader and sender see it")
  const leased = await from.client.admin.messages.get(sent.id)
  equal(message.visibleAt, leased?.visibleAt, "visibleAt, as reader and sender see it")
  equal([leased?.state, leased?.attempt, leased?.payload], ["inFlight", 1, sent.payload], "the sender's look at the leased message")
  return message
}

function sameMessage(
  message: Message | undefined,
  { id, payload }: { id: string; payload: unknown },
  what: string,
): asserts message is Message {
  ok(message !== undefined, `${what}: no message`)
  equal(message.payload, payload, `${what}: the payload`)
  equal([message.id, message.headers, message.attempt, message.priority], [id, headers, 1, 2], `${what}: id, headers, attempt, priority`)
  ok(message.enqueuedAt instanceof Date && message.visibleAt instanceof Date, `${what}: times must be dates`)
}

export function beginOf({ begin, driver }: DriverUnderTest): HopSide["begin"] {
  return begin ? (work) => begin("read committed", work) : (work) => driver.transaction(work)
}
