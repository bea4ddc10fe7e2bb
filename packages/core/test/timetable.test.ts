import { createClient, InvalidOptionError, type ScheduleTiming } from "@sluice/core"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { noSqlDriver } from "./helpers/no-sql-driver.ts"

const { driver, calls } = noSqlDriver()
const { schedules } = createClient(driver)

/** The runs after a time, as ISO without what all of them share. */
async function runs(timing: ScheduleTiming, from: string, count = 4): Promise<string[]> {
  const dates = await schedules.preview(timing, { from: new Date(from), count })
  expect(calls).toEqual([])
  return dates.map((date) => date.toISOString().replace(":00.000Z", "Z").replace(".000Z", "Z"))
}

describe("cron", () => {
  test.each<[what: string, timing: ScheduleTiming, from: string, expected: string[]]>([
    ["every minute, not the one it is", { cron: "* * * * *" }, "2026-01-01T00:00:00Z", ["2026-01-01T00:01Z", "2026-01-01T00:02Z"]],
    ["in the middle of a minute", { cron: "* * * * *" }, "2026-01-01T00:00:30.500Z", ["2026-01-01T00:01Z", "2026-01-01T00:02Z"]],
    ["a millisecond before", { cron: "* * * * *" }, "2025-12-31T23:59:59.999Z", ["2026-01-01T00:00Z", "2026-01-01T00:01Z"]],
    ["six fields begin with seconds", { cron: "*/20 * * * * *" }, "2026-01-01T00:00:20Z", ["2026-01-01T00:00:40Z", "2026-01-01T00:01Z"]],
    ["spaces around and between", { cron: "  5   4 * *  * " }, "2026-01-01T00:00:00Z", ["2026-01-01T04:05Z", "2026-01-02T04:05Z"]],
    ["a nickname", { cron: "@daily" }, "2026-01-01T00:00:00Z", ["2026-01-02T00:00Z", "2026-01-03T00:00Z"]],
    ["names of months and days", { cron: "0 9 * JUN MON-WED" }, "2026-01-01T00:00:00Z", ["2026-06-01T09:00Z", "2026-06-02T09:00Z"]],
    ["Sunday is 0 and 7", { cron: "0 0 * * 7" }, "2026-01-01T00:00:00Z", ["2026-01-04T00:00Z", "2026-01-11T00:00Z"]],
    ["day of month or day of week", { cron: "0 0 13 * FRI" }, "2026-02-01T00:00:00Z", ["2026-02-06T00:00Z", "2026-02-13T00:00Z"]],
    ["the last day of a month", { cron: "0 0 L * *" }, "2026-01-31T00:00:00Z", ["2026-02-28T00:00Z", "2026-03-31T00:00Z"]],
    ["a leap day", { cron: "0 0 29 2 *" }, "2026-01-01T00:00:00Z", ["2028-02-29T00:00Z", "2032-02-29T00:00Z"]],
    ["a time zone", { cron: "0 9 * * *", timezone: "America/New_York" }, "2026-01-01T00:00:00Z", ["2026-01-01T14:00Z", "2026-01-02T14:00Z"]],
    ["a zone of half hours", { cron: "0 9 * * *", timezone: "Asia/Kolkata" }, "2026-01-01T00:00:00Z", ["2026-01-01T03:30Z", "2026-01-02T03:30Z"]],
    ["from its start on, which counts", { cron: "0 0 * * *", start: new Date("2026-03-01") }, "2026-01-01T00:00:00Z", ["2026-03-01T00:00Z", "2026-03-02T00:00Z"]],
    ["before its end, which does not count", { cron: "0 0 * * *", end: new Date("2026-01-03") }, "2026-01-01T00:00:00Z", ["2026-01-02T00:00Z"]],
    ["after its end", { cron: "0 0 * * *", end: new Date("2026-01-03") }, "2026-02-01T00:00:00Z", []],
  ])("%s", async (_, timing, from, expected) => {
    expect(await runs(timing, from, 2)).toEqual(expected)
  })
})

describe("cron where the clocks change, in Europe/Berlin", () => {
  const timezone = "Europe/Berlin"
  /** At 02:00 the clock shows 03:00. */
  const spring = "2026-03-29T00:00:00Z"
  /** At 03:00 the clock shows 02:00 again. */
  const autumn = "2026-10-24T23:45:00Z"
  test.each([
    ["a time that is left out comes right after the gap, once", "30 2 * * *", spring, ["2026-03-29T01:00Z", "2026-03-30T00:30Z"]],
    ["so does one of a list of hours", "30 2,14 * * *", spring, ["2026-03-29T01:00Z", "2026-03-29T12:30Z"]],
    ["a time that is shown twice comes once, the first time", "30 2 * * *", autumn, ["2026-10-25T00:30Z", "2026-10-26T01:30Z"]],
    ["so does one of a list of hours", "30 2,14 * * *", autumn, ["2026-10-25T00:30Z", "2026-10-25T13:30Z"]],
    ["every half hour goes by the time that passes, in spring", "*/30 * * * *", "2026-03-29T00:30:00Z", ["2026-03-29T01:00Z", "2026-03-29T01:30Z"]],
    ["every half hour goes by the time that passes, in autumn", "*/30 * * * *", "2026-10-25T00:30:00Z", ["2026-10-25T01:00Z", "2026-10-25T01:30Z"]],
    ["every two hours leaves out what is left out", "0 */2 * * *", "2026-03-28T23:00:00Z", ["2026-03-29T02:00Z", "2026-03-29T04:00Z"]],
  ])("%s: %s", async (_, cron, from, expected) => {
    expect(await runs({ cron, timezone }, from, 2)).toEqual(expected)
  })
})

describe("an interval", () => {
  test.each<[what: string, timing: ScheduleTiming, from: string, expected: string[]]>([
    ["counts from its start, which is its first run", { every: "90m", start: new Date("2026-01-01T10:00Z") }, "2026-01-01T00:00:00Z", ["2026-01-01T10:00Z", "2026-01-01T11:30Z"]],
    ["counts from a start long ago", { every: "7s", start: new Date("2020-01-01T00:00Z") }, "2026-01-01T00:00:01Z", ["2026-01-01T00:00:08Z", "2026-01-01T00:00:15Z"]],
    ["is not at the time it is", { every: "1h", start: new Date("2026-01-01T00:00Z") }, "2026-01-01T05:00:00Z", ["2026-01-01T06:00Z", "2026-01-01T07:00Z"]],
    ["without a start is for the first time when it has passed", { every: "1d" }, "2026-01-01T00:00:00Z", ["2026-01-02T00:00Z", "2026-01-03T00:00Z"]],
    ["is as long where clocks change", { every: "1d", start: new Date("2026-03-28T00:00Z") }, "2026-03-28T12:00:00Z", ["2026-03-29T00:00Z", "2026-03-30T00:00Z"]],
    ["ends with the year 9999", { every: "30000d", start: new Date("9960-01-01") }, "9959-01-01T00:00:00Z", ["9960-01-01T00:00Z"]],
    ["ends before its end", { every: "1h", end: new Date("2026-01-01T02:00Z") }, "2026-01-01T00:00:00Z", ["2026-01-01T01:00Z"]],
    ["of parts of a second", { every: "1.5s", start: new Date("2026-01-01T00:00Z") }, "2026-01-01T00:00:01Z", ["2026-01-01T00:00:01.500Z", "2026-01-01T00:00:03Z"]],
  ])("%s", async (_, timing, from, expected) => {
    expect(await runs(timing, from, 2)).toEqual(expected)
  })
})

describe("preview", () => {
  test("gives as many runs as asked for, 5 unless told otherwise, from now", async () => {
    const before = Date.now()
    const runs = await schedules.preview({ every: "1h" })
    expect(runs).toHaveLength(5)
    expect(Math.abs(runs[0]!.getTime() - before - 3_600_000)).toBeLessThan(60_000)
    expect(await schedules.preview({ cron: "@hourly" }, { count: 1000 })).toHaveLength(1000)
  })

  test.each([
    ["count", { count: 0 }], ["count", { count: 1001 }], ["count", { count: 1.5 }], ["from", { from: "now" }], ["from", { from: new Date(NaN) }], ["options.form", { form: 1 }],
  ])("refuses %s in %j", async (field, options) => {
    const error = await errorOf(schedules.preview({ every: "1s" }, options as object))
    expect(error).toBeInstanceOf(InvalidOptionError)
    expect(error).toMatchObject({ field })
  })
})
