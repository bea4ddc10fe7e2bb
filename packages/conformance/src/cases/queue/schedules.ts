import type { Client, ScheduleOptions } from "@sluice/core"
import { equal, equalRows, rejects } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import { midnight, mustRead, openClient, openQueue, type OpenQueue, payloads, refuses, stopClock } from "./open-queue.ts"

interface OpenSchedule extends OpenQueue {
  readonly schedule: string
  readonly options: ScheduleOptions
}

const HOUR = 3600
const hour = (n: number): Date => new Date(midnight + n * HOUR * 1000)

/** A queue and a name for its schedule, at midnight. The schedule goes after the case: it would come due in the next. */
async function openSchedule(context: CaseContext, more: object = {}): Promise<OpenSchedule> {
  await openClient(context)
  await stopClock(context, 0)
  const open = await openQueue(context)
  const schedule = context.unique("schedule")
  context.after(() => open.client.schedules.remove(schedule))
  return { ...open, schedule, options: { queue: open.name, cron: "0 * * * *", ...more } }
}

const fired = async (client: Client): Promise<number> => (await client.maintenance().run()).fired

class RollBack extends Error {}

export const scheduleCases: readonly ConformanceCase[] = [
  {
    name: "upsert answers with the schedule as it is stored, and get and list give the same",
    rule: "core",
    async run(context) {
      const more = { payload: { a: ["é", 1.5, null, { "b c": "'\"\\" }] }, headers: { h: ["x"] }, priority: 3, start: hour(2), end: hour(4), missed: "all", timezone: "Europe/Berlin" }
      const { client, schedule, options } = await openSchedule(context, more)
      const expected = {
        ...options, name: schedule, every: null, paused: false, createdAt: hour(0), nextAt: hour(2), lastAt: null, error: null,
      }
      equal(await client.schedules.upsert(schedule, options), expected, "upsert")
      equal(await client.schedules.get(schedule), expected, "get")
      equal(await client.schedules.list({ prefix: schedule }), { items: [expected], next: null }, "list")
      equal(await client.schedules.preview(schedule), [hour(2), hour(3)], "preview")
    },
  },
  {
    name: "upsert of the same again moves nothing; another timing does",
    rule: "core",
    async run(context) {
      const { client, schedule, options } = await openSchedule(context)
      const first = await client.schedules.upsert(schedule, options)
      await stopClock(context, 5.5 * HOUR)
      equal(await client.schedules.upsert(schedule, options), first, "the same")
      equal((await client.schedules.upsert(schedule, { ...options, payload: 1 })).nextAt, hour(1), "another payload")
      equal((await client.schedules.upsert(schedule, { queue: options.queue, every: "2h" })).nextAt, hour(7.5), "another timing")
    },
  },
  {
    // Seeds 3.5: test_scheduler_repeatable, coordinates_backend_repeatables_with_lock.
    name: "one due time, looked at by several clients at once: exactly one message, with what it was scheduled for",
    rule: "core",
    async run(context) {
      const { client, queue, schedule, options } = await openSchedule(context, { payload: { a: "é" }, headers: { h: 1 } })
      await client.schedules.upsert(schedule, options)
      const clients = [client, ...(await Promise.all([0, 1].map(async () => openClient(context, {}, (await context.connect()).driver))))]
      for (const n of [1, 2, 3]) {
        await stopClock(context, n * HOUR)
        const counts = await Promise.all(clients.map(fired))
        equal(counts.reduce((all, count) => all + count, 0), 1, `messages of run ${n}`)
        const message = await mustRead(queue)
        equal([message.payload, message.headers], [{ a: "é" }, { h: 1, schedule, scheduledFor: hour(n).toISOString() }], "the message")
        await queue.delete(message)
      }
      equal((await queue.metrics()).length, 0, "no message more")
    },
  },
  ...([["skip", []], ["once", [3]], ["all", [1, 2, 3]]] as const).map(([missed, hours]): ConformanceCase => ({
    name: `runs that nobody was there to send, with missed: "${missed}"`,
    rule: "core",
    async run(context) {
      const { client, queue, schedule, options } = await openSchedule(context, { missed })
      await client.schedules.upsert(schedule, options)
      await stopClock(context, 3.5 * HOUR)
      await client.maintenance().run()
      const messages = await queue.readBatch({ limit: 10 })
      equal(messages.map((message) => message.headers.scheduledFor), hours.map((n) => hour(n).toISOString()), "what they were scheduled for")
      equal((await client.schedules.get(schedule)).nextAt, hour(4), "the next run")
    },
  })),
  {
    name: "pause, resume, runNow and remove do what they say",
    rule: "core",
    async run(context) {
      const { client, queue, schedule, options } = await openSchedule(context, { payload: "now" })
      await client.schedules.upsert(schedule, options)
      equal((await client.schedules.pause(schedule)).nextAt, null, "paused")
      await stopClock(context, 2.5 * HOUR)
      equal(await fired(client), 0, "messages of a paused one")
      equal((await client.schedules.resume(schedule)).nextAt, hour(3), "resumed")
      const id = await client.schedules.runNow(schedule)
      const message = await mustRead(queue)
      equal([message.id, message.payload], [id, "now"], "runNow")
      equal([await client.schedules.remove(schedule), await client.schedules.remove(schedule)], [true, false], "remove")
      await refuses(client.schedules.get(schedule), "schedule_not_found", { schedule }, "get")
    },
  },
  ...[true, false].map((commit): ConformanceCase => ({
    name: `upsert, pause and runNow in a transaction that ${commit ? "commits" : "rolls back never were"}`,
    rule: "within",
    async run(context) {
      const { client, queue, schedule, options } = await openSchedule(context, { payload: "joined" })
      const kept = `${schedule}.kept`
      context.after(() => client.schedules.remove(kept))
      await client.schedules.upsert(kept, options)
      const table = await context.table("n int4")
      const work = context.driver.transaction(async (tx) => {
        await context.driver.within(tx).query(`insert into ${table} values (1)`)
        await client.schedules.upsert(schedule, options, { tx })
        await client.schedules.pause(kept, { tx })
        await client.schedules.runNow(schedule, { tx })
        equal((await client.schedules.get(schedule, { tx })).nextAt, hour(1), "seen from inside")
        if (!commit) throw new RollBack()
      })
      if (commit) await work
      else await rejects(work, "a rolled-back transaction")
      equal((await client.schedules.list({ prefix: schedule })).items.map(({ name, paused }) => [name, paused]), commit ? [[schedule, false], [kept, true]] : [[kept, false]], "schedules")
      equal(payloads(await queue.readBatch({ limit: 5 })), commit ? ["joined"] : [], "messages")
      equalRows(await context.exec(`select n from ${table}`), commit ? [{ n: 1 }] : [], "the caller's row")
    },
  })),
  {
    name: "in the caller's transaction: no such schedule, no such queue, and it still inserts and commits",
    rule: "core",
    async run(context) {
      const { client, queue, schedule, options } = await openSchedule(context)
      const table = await context.table("n int4")
      await context.driver.transaction(async (tx) => {
        for (const call of ["get", "pause", "resume", "runNow"] as const) {
          await refuses(client.schedules[call](schedule, { tx }), "schedule_not_found", { schedule }, call)
        }
        await refuses(client.schedules.upsert(schedule, { ...options, queue: "nowhere" }, { tx }), "queue_not_found", { queue: "nowhere" }, "upsert")
        await context.driver.within(tx).query(`insert into ${table} values (1)`)
        await queue.send("sent after refusals", { tx })
      })
      equalRows(await context.exec(`select n from ${table}`), [{ n: 1 }], "the caller's row")
      equal((await queue.metrics()).length, 1, "messages")
    },
  },
]
