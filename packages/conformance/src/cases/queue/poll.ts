import { AbortedError } from "@sluice/core"
import { equal, equalRows, inTime, ok, rejects, sleep } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { borrowed, ids, mustRead, openClient, openElsewhere, openQueue, payloads, refuses } from "./open-queue.ts"

/** readWithPoll, and what a signal does. Real time: lower bounds are exact, upper ones generous. */
export const pollCases: readonly ConformanceCase[] = [
  {
    name: "readWithPoll of a queue that has messages is one read, up to limit",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const sent = await queue.sendBatch([1, 2, 3].map((payload) => ({ payload })))
      equal(ids(await queue.readWithPoll({ limit: 2, wait: "60s" })), sent.slice(0, 2), "two of three")
      equal(ids(await queue.readWithPoll({ limit: 2, wait: "60s" })), sent.slice(2), "it does not wait for a second")
    },
  },
  {
    name: "wait 0 is one plain read",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      equal(await queue.readWithPoll({ wait: 0 }), [], "empty")
      await queue.send("x")
      equal(payloads(await queue.readWithPoll({ wait: 0 })), ["x"], "one there")
    },
  },
  {
    name: "an empty queue: [] when the wait is over, not before",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const start = performance.now()
      equal(await queue.readWithPoll({ wait: "300ms", interval: "40ms" }), [], "messages")
      ok(performance.now() - start >= 299, "it must last as long as `wait`")
      equal(await inTime(queue.readWithPoll({ wait: "100ms", interval: "1h" }), "an interval beyond the wait"), [], "messages")
    },
  },
  {
    name: "readWithPoll returns early with what came meanwhile",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const waiting = queue.readWithPoll({ limit: 3, wait: "60s", interval: "50ms" })
      await sleep(120)
      const id = await queue.send("x")
      equal(ids(await inTime(waiting, "readWithPoll() while a message is there")), [id], "messages")
    },
  },
  {
    name: "five delayed messages, a limit of three: the first three, when they are ready",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const start = performance.now()
      const sent = await queue.sendBatch([1, 2, 3, 4, 5].map((payload) => ({ payload })), { delay: "300ms" })
      const read = await inTime(queue.readWithPoll({ limit: 3, wait: "60s" }), "delayed messages", 5_000)
      ok(performance.now() - start >= 299, "not before they are ready")
      equal(ids(read), sent.slice(0, 3), "messages")
    },
  },
  {
    name: "a message comes back to a waiting reader when its lease runs out",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      await mustRead(queue, { lease: "200ms" })
      const [again] = await inTime(queue.readWithPoll({ wait: "60s" }), "an expired lease", 5_000)
      equal(again?.attempt, 2, "attempt")
    },
  },
  {
    name: "the lease option holds, and without it the queue's",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context, { lease: "1h" })
      await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
      const [first] = await queue.readWithPoll({ lease: "5m" })
      const [second] = await queue.readWithPoll()
      const minutes = (to: typeof first): number => Math.round((to!.visibleAt!.getTime() - Date.now()) / 60_000)
      equal(minutes(second) - minutes(first), 55, "minutes between the ends of the two leases")
    },
  },
  {
    name: "a send in this process wakes a waiting reader at once, whatever the interval",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const ways: readonly (() => Promise<unknown>)[] = [
        () => queue.send("send"),
        () => queue.sendBatch([{ payload: "sendBatch" }]),
        () => client.transaction((tx) => queue.send("client.transaction", { tx })),
        () => context.driver.transaction((tx) => queue.send("client.wake", { tx })).then(() => client.wake(name)),
      ]
      for (const send of ways) {
        const waiting = queue.readWithPoll({ wait: "60s", interval: "30s" })
        await sleep(50) // so that the reader has looked once
        await send()
        equal((await inTime(waiting, `a reader that waits: ${String(send)}`)).length, 1, "messages")
      }
    },
  },
  {
    name: "a send elsewhere wakes a waiting reader through LISTEN, whatever the interval",
    rule: "core",
    needs: ["concurrent", "listen", "direct"],
    async run(context) {
      const { queue, name } = await openQueue(context)
      const elsewhere = await openElsewhere(context, name)
      for (let round = 0; round < 3; round++) {
        const waiting = queue.readWithPoll({ wait: "60s", interval: "30s" })
        await sleep(20)
        await elsewhere.send(round)
        equal(payloads(await inTime(waiting, "a reader that waits", 8_000)), [round], "messages")
      }
    },
  },
  {
    name: "a waiting reader holds no connection: others use a pool of one meanwhile",
    rule: "core",
    async run(context) {
      const { driver } = await context.connect({ max: 1 })
      const { name } = await openQueue(context)
      const queue = (await openClient(context, { listen: false }, driver)).queue(name)
      const waiting = queue.readWithPoll({ wait: "60s", interval: "200ms" })
      for (let n = 0; n < 20; n++) {
        const joined = driver.transaction((tx) => driver.within(tx).query("select $1::int4 as n", [n]))
        equalRows(await inTime(joined, "a transaction beside a waiting reader"), [{ n }], "its row")
        await sleep(10)
      }
      await queue.send("x")
      equal(payloads(await inTime(waiting, "the reader")), ["x"], "messages")
    },
  },
  {
    name: "a waiting reader holds no transaction",
    rule: "core",
    needs: ["concurrent", "direct"],
    async run(context) {
      const { driver } = await context.connect({ max: 1 })
      const { name } = await openQueue(context)
      const queue = (await openClient(context, { listen: false }, driver)).queue(name)
      const rows = await driver.query<{ pid: number }>("select pg_backend_pid()::int4 as pid")
      const waiting = queue.readWithPoll({ wait: "600ms", interval: "1h" })
      await sleep(200)
      const state = await context.exec("select state from pg_stat_activity where pid = $1::int4", [rows[0]?.pid ?? 0])
      equalRows(state, [{ state: "idle" }], "the session between two looks")
      await waiting
    },
  },
  {
    name: "several readers wait at once and share what comes",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const waiting = Array.from({ length: 4 }, () => queue.readWithPoll({ wait: "60s", interval: "50ms" }))
      await sleep(60)
      const sent = await queue.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
      const read = await inTime(Promise.all(waiting), "four readers")
      equal(ids(read.flat()).toSorted(), sent.toSorted(), "each message once")
    },
  },
  {
    name: "a signal ends the wait at once, with its reason as cause",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const abort = new AbortController()
      const waiting = rejects(queue.readWithPoll({ wait: "60s", interval: "30s", signal: abort.signal }), "an aborted wait")
      await sleep(60)
      const reason = new Error("stop")
      abort.abort(reason)
      const error = await inTime(waiting, "the reader")
      ok(error instanceof AbortedError && error.cause === reason, `AbortedError with its cause, received ${String(error)}`)
    },
  },
  {
    name: "a signal that was aborted before: nothing is leased",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      const signal = AbortSignal.abort()
      await refuses(queue.read({ signal }), "aborted", {}, "read")
      await refuses(queue.readBatch({ limit: 2, signal }), "aborted", {}, "readBatch")
      await refuses(queue.readWithPoll({ wait: "1s", signal }), "aborted", {}, "readWithPoll")
      equal((await queue.metrics()).visible, 1, "visible")
    },
  },
  {
    name: "a claim in flight when the signal aborts is awaited, and what it leased is released",
    rule: "core",
    async run(context) {
      const { queue, name } = await openQueue(context)
      await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
      const abort = new AbortController()
      const driver = borrowed(context.driver)
      const aborting: typeof driver = {
        ...driver,
        query: (text, values, options) => {
          if (text.includes("try_read")) abort.abort()
          return driver.query(text, values, options)
        },
      }
      const reader = (await openClient(context, {}, aborting)).queue(name)
      await refuses(reader.readBatch({ limit: 2, signal: abort.signal }), "aborted", {}, "readBatch")
      equal((await queue.metrics()).visible, 2, "visible again")
      equal((await mustRead(queue)).attempt, 2, "the attempt stays counted")
    },
  },
  {
    name: "options of a poll that cannot be meant are refused before any SQL",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      const bad = [{ wait: 5 }, { wait: "5" }, { interval: 0 }, { interval: "0s" }, { limit: 0 }, { lease: 1 }, { tx: {} }, { poll: "1s" }]
      for (const options of bad) {
        await refuses(queue.readWithPoll(options as never), "invalid_option", {}, JSON.stringify(options))
      }
    },
  },
]
