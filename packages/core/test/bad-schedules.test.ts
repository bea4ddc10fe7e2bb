import { createClient, PayloadInvalidError, PayloadTooLargeError } from "@sluice/core"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { calls, driver, expectOption, schedules } from "./helpers/refused.ts"

const good = { queue: "q", cron: "0 * * * *" }
const upsert = (more: object): unknown => schedules.upsert!("s", { ...good, ...more })
const DAY = new Date("2030-01-01")

describe("no SQL runs for a schedule", () => {
  test.each([undefined, null, 5, "0 * * * *", [], () => {}].map((schedule) => [schedule] as const))("that is none: %s", (schedule) =>
    expectOption(() => schedules.upsert!("s", schedule), "schedule"))

  test.each([
    ["that is misspelt", "schedule.crno", { crno: "x" }],
    ["with an option of sends", "schedule.delay", { delay: "1s" }],
    ["with an option of its answer", "schedule.nextAt", { nextAt: DAY }],
    ["with a transaction in the wrong place", "schedule.tx", { tx: {} }],
    ["of no timing", "schedule.cron", { cron: undefined }],
    ["of two timings", "schedule.cron", { every: "1s" }],
    ["of an interval in a zone", "schedule.timezone", { cron: undefined, every: "1s", timezone: "UTC" }],
    ["with a start that is no Date", "schedule.start", { start: "2030-01-01" }],
    ["with a start that is null", "schedule.start", { start: null }],
    ["with an invalid end", "schedule.end", { end: new Date(NaN) }],
    ["with an end before its start", "schedule.end", { start: DAY, end: new Date(DAY.getTime() - 1) }],
    ["with an end that is its start", "schedule.end", { start: DAY, end: DAY }],
    ["with another policy", "schedule.missed", { missed: "some" }],
    ["with no policy", "schedule.missed", { missed: null }],
    ["with a priority too low", "schedule.priority", { priority: -1 }],
    ["with a priority too high", "schedule.priority", { priority: 16 }],
    ["with headers that are none", "schedule.headers", { headers: [] }],
    ["with a header that is the schedule's own", "schedule.headers.schedule", { headers: { schedule: 1 } }],
    ["with the other header that is the schedule's own", "schedule.headers.scheduledFor", { headers: { scheduledFor: 1 } }],
  ])("%s", (_, field, more) => expectOption(() => upsert(more), field))

  const crons: unknown[] = [
    "", " ", "nonsense", "* * * *", "* * * * * * *", "0 0 1 1 * 2030 *", "2030-01-01T00:00:00", "@reboot", "@fortnightly", "@ daily", "60 * * * *", "* 24 * * *", "* * 0 * *",
    "* * 32 * *", "* * * 13 *", "* * * * 8", "-1 * * * *", "*/0 * * * *", "5/5 * * * *", "1-0 * * * *", "a * * * *", "* * * FOO *", "* * * * MONDAYS", "0 0 30 2 *", "0 0 31 4,6 *",
    "１ * * * *", "* * * * *\0", "*;* * * *", `${"0,".repeat(600)}0 * * * *`, 5, null, true, {}, [], new Date(), ["* * * * *"], 5n, Symbol("* * * * *"), () => "* * * * *",
  ]
  test.each(crons.map((cron) => [typeof cron === "symbol" ? "a symbol" : String(cron).slice(0, 40), cron] as const))("of a pattern that is none: %s", async (_, cron) => {
    await expectOption(() => upsert({ cron }), "schedule.cron")
    await expectOption(() => schedules.preview!({ cron }), "schedule.cron")
  })

  const zones: unknown[] = ["", " ", "Moon/Base", "CEST", "+25:00", "Europe", "europe-berlin", "Europe/Berlin ", "UTC\0", 5, 0, null, true, {}, [], ["UTC"], 5n, Symbol("UTC")]
  test.each(zones.map((zone) => [typeof zone === "symbol" ? "a symbol" : String(zone), zone] as const))("in a zone that there is not: %s", async (_, timezone) => {
    await expectOption(() => upsert({ timezone }), "schedule.timezone")
    await expectOption(() => schedules.preview!({ cron: "@daily", timezone }), "schedule.timezone")
  })

  test.each([0, "0s", "999ms", "0.5s"])("of an interval too short: %s", (every) => expectOption(() => upsert({ cron: undefined, every }), "schedule.every"))

  test.each([undefined, null, 5, [], () => {}].map((subject) => [subject] as const))("to preview that is none: %s", async (subject) => {
    const error = await errorOf(() => schedules.preview!(subject))
    expect(error).toMatchObject({ code: "invalid_option", field: expect.stringMatching(/^schedule/) })
    expect(calls).toEqual([])
  })

  test.each([
    ["payload", { payload: undefined }],
    ["payload.a", { payload: { a: 1n } }],
    ["payload", { payload: "\0" }],
    ["payload", { payload: new Map() }],
    ["payload.a[1]", { payload: { a: [1, NaN] } }],
    ["payload", { payload: JSON.parse('{"__proto__": 1}') }],
    ["headers.a", { headers: { a: "\ud800" } }],
  ])("whose %s is no JSON: %o", async (path, more) => {
    const error = await errorOf(() => upsert(more))
    expect(error).toBeInstanceOf(PayloadInvalidError)
    expect(error).toMatchObject({ path })
    expect(calls).toEqual([])
  })

  test("whose payload or headers are beyond the client's limits", async () => {
    const small = createClient(driver, { payload: { maxBytes: 100, maxDepth: 2 } })
    const long = "x".repeat(99)
    for (const more of [{ payload: long }, { headers: { h: long } }]) {
      expect(await errorOf(small.schedules.upsert("s", { ...good, ...more }))).toBeInstanceOf(PayloadTooLargeError)
    }
    expect(await errorOf(small.schedules.upsert("s", { ...good, payload: [[[1]]] }))).toBeInstanceOf(PayloadInvalidError)
    expect(calls).toEqual([])
  })

  test("that would list from nowhere", async () => {
    await expectOption(() => schedules.list!({ limit: 0 }), "limit")
    await expectOption(() => schedules.list!({ limit: 1001 }), "limit")
    await expectOption(() => schedules.list!({ after: "a b" }), "after")
    await expectOption(() => schedules.list!({ prefix: 5 }), "prefix")
  })
})
