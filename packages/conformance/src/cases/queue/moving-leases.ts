import { equal, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { midnight, mustRead, openQueue, refuses, stopClock } from "./open-queue.ts"

const at = (seconds: number): Date => new Date(midnight + seconds * 1000)

/** setVt, extend, release, retry: what a holder does with a lease short of ending the message. */
export const movingLeaseCases: readonly ConformanceCase[] = [
  {
    // Departs from seeds 6 (pgqrs): setVt is absolute from now; what adds is extend.
    name: "setVt counts from now, up and down",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.send("x")
      const message = await mustRead(queue)
      await stopClock(context, 10)
      equal((await queue.setVt(message, "60s")).visibleAt, at(70), "later")
      equal((await queue.setVt(message, "5s")).visibleAt, at(15), "earlier")
      equal((await queue.setVt(message, at(100))).visibleAt, at(100), "to a time")
      await stopClock(context, 99)
      equal(await queue.read(), null, "hidden until then")
      await stopClock(context, 100)
      equal((await mustRead(queue)).attempt, 2, "then back")
    },
  },
  {
    name: "setVt into the past means now, and keeps the lease until somebody else reads",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context)
      await stopClock(context, 0)
      const id = await queue.send("x")
      const message = await mustRead(queue)
      equal((await queue.setVt(message, new Date(0))).visibleAt, at(0), "1970 is now")
      equal((await queue.setVt(message, 0)).visibleAt, at(0), "0 is now")
      equal((await client.admin.messages.get(id))?.state, "visible", "state")
      await queue.delete(message)
      equal((await queue.metrics()).length, 0, "settled by its holder all the same")
    },
  },
  {
    name: "setVt(0): the next read has it at once",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      const first = await mustRead(queue, { lease: "1h" })
      await queue.setVt(first, 0)
      const second = await mustRead(queue)
      equal([second.id, second.attempt], [first.id, 2], "message and attempt")
    },
  },
  {
    name: "extend adds to the end of the lease",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.send("x")
      const message = await mustRead(queue, { lease: "30s" })
      await stopClock(context, 10)
      equal((await queue.extend(message, "30s")).visibleAt, at(60), "once")
      equal((await queue.extend(message, "500ms")).visibleAt, at(60.5), "again, from the stored end")
      equal((await queue.extend(message, 0)).visibleAt, at(60.5), "by nothing")
    },
  },
  {
    name: "extending a lease that ran out never ends before now",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.send("x")
      const message = await mustRead(queue, { lease: "10s" })
      await stopClock(context, 100)
      equal((await queue.extend(message, "20s")).visibleAt, at(100), "10 s + 20 s lies behind")
    },
  },
  {
    name: "what setVt and extend return is the message with its new end",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.send({ n: 1 }, { headers: { h: 1 } })
      const message = await mustRead(queue)
      const moved = await queue.setVt(message, "90s")
      equal(moved, { ...message, visibleAt: at(90) }, "after setVt")
      equal(await queue.extend(moved, "10s"), { ...message, visibleAt: at(100) }, "after extend")
      await queue.archive(moved)
    },
  },
  {
    name: "release gives a message back at once; the attempt stays counted",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      const first = await mustRead(queue, { lease: "1h" })
      await queue.release(first)
      equal((await queue.metrics()).visible, 1, "visible")
      const second = await mustRead(queue)
      equal([second.id, second.attempt], [first.id, 2], "message and attempt")
    },
  },
  {
    name: "a released message stands behind what was ready before",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await stopClock(context, 0)
      await queue.sendBatch([{ payload: "a" }, { payload: "b" }])
      const first = await mustRead(queue)
      await stopClock(context, 1)
      await queue.release(first)
      equal([(await mustRead(queue)).payload, (await mustRead(queue)).payload], ["b", "a"], "order")
    },
  },
  {
    name: "retry: ready again after its delay, the error kept",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context)
      await stopClock(context, 0)
      const id = await queue.send("x")
      const result = await queue.retry(await mustRead(queue), { delay: "90s", error: new TypeError("no \0 luck") })
      equal(result, { outcome: "retry", visibleAt: at(90) }, "result")
      const info = await client.admin.messages.get(id)
      const [error] = info?.errors ?? []
      equal([info?.state, info?.attempt, info?.errors.length], ["delayed", 1, 1], "state, attempt and errors")
      equal([error?.name, error?.message, error?.attempt], ["TypeError", "no  luck", 1], "the error, without its U+0000")
      equal(new Date(error?.at ?? 0), at(0), "when it happened")
      await stopClock(context, 90)
      equal((await mustRead(queue)).attempt, 2, "after the delay")
    },
  },
  {
    name: "retry without options on a queue without backoff: ready at once, no error kept",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context, { backoff: null })
      await stopClock(context, 0)
      const id = await queue.send("x")
      equal(await queue.retry(await mustRead(queue)), { outcome: "retry", visibleAt: at(0) }, "result")
      equal((await client.admin.messages.get(id))?.errors, [], "errors")
      equal((await mustRead(queue)).attempt, 2, "attempt")
    },
  },
  {
    name: "retry without a delay waits as long as the queue's backoff says",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context, { backoff: { kind: "exponential", base: "10s", max: "25s", jitter: 0 } })
      await stopClock(context, 0)
      await queue.send("x")
      const waits: (Date | null)[] = []
      for (let now = 0; now < 75; now += 25) {
        await stopClock(context, now)
        waits.push((await queue.retry(await mustRead(queue))).visibleAt)
      }
      equal(waits, [at(10), at(25 + 20), at(50 + 25)], "exponential")
      await client.admin.updateQueue(name, { backoff: { kind: "linear", base: "1s", jitter: 0 } })
      await stopClock(context, 75)
      equal((await queue.retry(await mustRead(queue))).visibleAt, at(75 + 4), "linear, the fourth attempt")
      await client.admin.updateQueue(name, { backoff: { kind: "fixed", base: "7s", jitter: 0.5 } })
      await stopClock(context, 79)
      const { visibleAt } = await queue.retry(await mustRead(queue))
      ok(visibleAt !== null && visibleAt >= at(79 + 3.5) && visibleAt <= at(79 + 7), `half to all of 7 s, and it is ${String(visibleAt)}`)
    },
  },
  {
    name: "errors of every attempt pile up, in order",
    rule: "core",
    async run(context) {
      const { client, queue } = await openQueue(context, { backoff: null })
      const id = await queue.send("x")
      for (const error of ["first", "second", "third"]) await queue.retry(await mustRead(queue), { error })
      const { errors = [] } = (await client.admin.messages.get(id)) ?? {}
      equal(errors.map(({ message, attempt }) => `${attempt} ${message}`), ["1 first", "2 second", "3 third"], "errors")
    },
  },
  {
    name: "an error that cannot be stored as it is does not fail the retry",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context, { backoff: null })
      await queue.send("x")
      for (const error of [new Error("lone \ud800 surrogate"), new Error(""), "x".repeat(50_000), ""]) {
        equal((await queue.retry(await mustRead(queue), { error })).outcome, "retry", "outcome")
      }
      const held = await mustRead(queue)
      await refuses(queue.retry(held, { error: 7 }), "invalid_option", { field: "error" }, "a number for an error")
      await queue.delete(held)
    },
  },
  {
    name: "a time that cannot be meant is refused before any SQL",
    rule: "core",
    async run(context) {
      const { queue } = await openQueue(context)
      await queue.send("x")
      const message = await mustRead(queue)
      for (const bad of [10, "10", "-1s", null, undefined, new Date(Number.NaN)]) {
        await refuses(queue.setVt(message, bad as never), "invalid_option", {}, `setVt(${String(bad)})`)
        await refuses(queue.extend(message, bad as never), "invalid_option", {}, `extend(${String(bad)})`)
      }
      await refuses(queue.extend(message, new Date() as never), "invalid_option", {}, "extend takes no time")
      await queue.delete(message)
    },
  },
]
