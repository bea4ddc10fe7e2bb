import { describe, test } from "vitest"
import { admin, client, expectOption, queue } from "./helpers/refused.ts"

const texts = [undefined, null, 1, "", "x".repeat(501), "a\0b", "\ud800", {}, []].slice(1)
const durations = [null, "1", "soon", -1, 10, "0s", {}, "-1s"]

describe("no SQL runs for a wrong value of", () => {
  const rows: [string, string, (value: never) => unknown, unknown[]][] = [
    ["key", "key", (key) => queue.send!(1, { key }), texts],
    ["item's key", "items[0].key", (key) => queue.sendBatch!([{ payload: 1, key }]), texts],
    ["group", "group", (group) => queue.send!(1, { group }), texts],
    ["edit's group", "changes.group", (group) => queue.edit!("1", { group }), texts],
    ["keyUntil", "keyUntil", (keyUntil) => queue.send!(1, { key: "k", keyUntil }), ["done", null, 1]],
    ["onConflict", "onConflict", (onConflict) => queue.send!(1, { key: "k", onConflict }), ["ignore", null, true]],
    ["throttle", "throttle", (throttle) => queue.send!(1, { key: "k", throttle }), durations],
    ["debounce", "debounce", (debounce) => queue.send!(1, { key: "k", debounce }), durations],
    ["expireAt", "expireAt", (expireAt) => queue.send!(1, { expireAt }), [new Date(NaN), 5, "tomorrow", null]],
    ["edit's expireAt", "changes.expireAt", (expireAt) => queue.edit!("1", { expireAt }), [new Date(NaN), 5, "tomorrow"]],
    ["after", "after", (after) => queue.send!(1, { after }), ["1", null, {}, Array.from({ length: 1001 }, () => "1")]],
    ["one of after", "after[0]", (one) => queue.send!(1, { after: [one] }), [1, null, "x", "1.5"]],
    ["one of after by ref, without a batch", "after[0].ref", (ref) => queue.send!(1, { after: [{ ref }] }), ["x", null]],
    ["an id of after", "after[0].id", (id) => queue.send!(1, { after: [{ queue: "q", id }] }), [1, null, "x"]],
    ["ref", "items[0].ref", (ref) => queue.sendBatch!([{ payload: 1, ref }]), texts],
    ["ifFailed", "ifFailed", (ifFailed) => queue.send!(1, { after: ["1"], ifFailed }), ["stop", null]],
    ["sendRate", "sendRate.limit", (limit) => client.queue("q", { sendRate: { limit, per: "1s" } }), [0, -1, 1.5, "1", null, 1e7]],
    ["sendRate's per", "sendRate.per", (per) => client.queue("q", { sendRate: { limit: 1, per } }), durations],
    ...["concurrency", "groupConcurrency"].map((option): typeof rows[0] => [option, option, (value) => admin.createQueue!("q", { [option]: value }), [0, -1, 1.5, "1", {}, 1e7]]),
    ...["rateLimit", "groupRateLimit"].flatMap((option): typeof rows => [
      [`${option}'s limit`, `${option}.limit`, (limit) => admin.createQueue!("q", { [option]: { limit, per: "1s" } }), [0, -1, 1.5, "1", null]],
      [`${option}'s per`, `${option}.per`, (per) => admin.createQueue!("q", { [option]: { limit: 1, per } }), durations],
    ]),
    ...["fifo", "fair"].map((option): typeof rows[0] => [option, option, (value) => admin.createQueue!("q", { [option]: value }), [0, 1, "true", null]]),
  ]
  test.each(rows)("%s", async (_what, field, call, values) => {
    for (const value of values) await expectOption(() => call(value as never), field)
  })
})

describe("no SQL runs for options that contradict one another:", () => {
  test.each<[string, string, () => unknown]>([
    ["keyUntil without a key", "keyUntil", () => queue.send!(1, { keyUntil: "started" })],
    ["throttle and keyUntil", "throttle", () => queue.send!(1, { key: "k", throttle: "1s", keyUntil: "started" })],
    ["debounce and delay", "debounce", () => queue.send!(1, { key: "k", debounce: "1s", delay: "1s" })],
    ["debounce and keep", "debounce", () => queue.send!(1, { key: "k", debounce: "1s", onConflict: "keep" })],
    ["after and replace", "after", () => queue.send!(1, { key: "k", onConflict: "replace", after: ["1"] })],
    ["after and debounce", "after", () => queue.send!(1, { key: "k", debounce: "1s", after: ["1"] })],
    ["ifFailed without after", "ifFailed", () => queue.send!(1, { ifFailed: "run" })],
    ["the same ref twice", "items[1].ref", () => queue.sendBatch!([{ payload: 1, ref: "a" }, { payload: 2, ref: "a" }])],
    ["a cycle of two", "items[0].after", () => queue.sendBatch!([{ payload: 1, ref: "a", after: [{ ref: "b" }] }, { payload: 2, ref: "b", after: [{ ref: "a" }] }])],
    ["one that waits for itself", "items[1].after", () => queue.sendBatch!([{ payload: 1 }, { payload: 2, ref: "b", after: [{ ref: "b" }] }])],
    ["an unknown ref", "items[0].after[0].ref", () => queue.sendBatch!([{ payload: 1, after: [{ ref: "z" }] }])],
    ["ref of a single message", "options.ref", () => queue.send!(1, { ref: "a" })],
  ])("%s", async (_what, field, call) => expectOption(call, field))
})
