import { describe, test } from "vitest"
import { admin, client, expectOption, message, queue } from "./helpers/refused.ts"

describe("no SQL runs for a wrong value of", () => {
  const numbers = [-1, 1.5, NaN, Infinity, "1", null, true, {}, [], 1n]
  const rows: [string, string, (value: unknown) => unknown, unknown[]][] = [
    [
      "send at",
      "options.at",
      (at) => queue.send!(1, { at }),
      [new Date(NaN), new Date(8.64e15), new Date(-8.64e15), 0, "2024-01-01", null, {}],
    ],
    ["item at", "items[0].at", (at) => queue.sendBatch!([{ payload: 1, at }]), [new Date("no"), 5]],
    ["setVt date", "vt", (vt) => queue.setVt!(message, vt), [new Date(NaN), new Date(8.64e15)]],
    ["at with delay", "options.at", (at) => queue.send!(1, { at, delay: "1s" }), [new Date()]],
    ["priority", "options.priority", (priority) => queue.send!(1, { priority }), [...numbers, 16]],
    [
      "item priority",
      "items[0].priority",
      (priority) => queue.sendBatch!([{ payload: 1, priority }]),
      [...numbers, 16],
    ],
    ["headers", "options.headers", (headers) => queue.send!(1, { headers }), ["x", 5, null, [], true]],
    ["limit", "limit", (limit) => queue.readBatch!({ limit }), [...numbers, 0, 10_001]],
    ["popBatch limit", "limit", (limit) => queue.popBatch!({ limit }), [...numbers, 0, 10_001]],
    ["readWithPoll limit", "limit", (limit) => queue.readWithPoll!({ limit }), [...numbers, 0, 10_001]],
    [
      "read signal",
      "signal",
      (signal) => queue.read!({ signal }),
      [null, {}, "x", 5, { aborted: "no" }, { aborted: false }],
    ],
    ["readWithPoll signal", "signal", (signal) => queue.readWithPoll!({ signal }), [null, {}, "x", { aborted: false }]],
    ["sendBatch items", "items", (items) => queue.sendBatch!(items), [undefined, null, "x", {}, new Set([1])]],
    ["sendBatch item", "items[1]", (item) => queue.sendBatch!([{ payload: 1 }, item]), [undefined, null, "x", 5, []]],
    ["sendBatch item's option", "items[0].tx", (tx) => queue.sendBatch!([{ payload: 1, tx }]), [{}]],
    ...["delete", "archive", "release", "retry", "setVt", "extend"].flatMap((method): typeof rows => {
      const call = (value: unknown): unknown =>
        queue[method]!(value, ...(method === "setVt" || method === "extend" ? ["1s"] : []))
      const bad = [
        undefined,
        null,
        "",
        "-1",
        "1.5",
        "1e3",
        " 1",
        "01",
        "0x1",
        "9223372036854775808",
        "1".repeat(20),
        1,
        1n,
        {},
        "1; drop table x",
        "١",
      ]
      return [
        [`${method} message`, "message", call, [undefined, null, "1", 1, true]],
        [`${method} id`, "message.id", (id) => call({ id, lease: "1" }), bad],
        [`${method} lease`, "message.lease", (lease) => call({ id: "1", lease }), bad],
      ]
    }),
    ...["deleteBatch", "archiveBatch"].flatMap((method): typeof rows => [
      [method, "messages", (value) => queue[method]!(value), [undefined, null, {}, "x", message]],
      [method, "messages[1]", (value) => queue[method]!([message, value]), [undefined, null, "1"]],
      [method, "messages[1].id", (id) => queue[method]!([message, { id, lease: "1" }]), ["01", 1, "{1}"]],
      [method, "messages[0].lease", (lease) => queue[method]!([{ id: "1", lease }, message]), [null, undefined, "", 5]],
    ]),
    ["retry error", "error", (error) => queue.retry!(message, { error }), [5, {}, [], true, Symbol("x")]],
    ...["createQueue", "updateQueue"].flatMap((method): typeof rows => {
      const option = (name: string, values: unknown[]): (typeof rows)[number] => [
        `${method} ${name}`,
        name,
        (value) => admin[method]!("q", { [name]: value }),
        values,
      ]
      return [
        option("levels", [...numbers, 0, 17]),
        option("maxAttempts", [...numbers.filter((n) => n !== null), 0, 2 ** 31]),
        option("notify", ["on", true, null, "OFF"]),
        option("deadLetter", ["q"]),
      ]
    }),
    ["ifExists", "ifExists", (ifExists) => admin.createQueue!("q", { ifExists }), ["ignore", true, 1]],
    ["patch", "patch", (patch) => admin.updateQueue!("q", patch), [undefined, null, "x", []]],
    ["patch option", "patch.ifExists", (ifExists) => admin.updateQueue!("q", { ifExists }), ["keep"]],
    ["force", "force", (force) => admin.dropQueue!("q", { force }), [1, "true", {}]],
    ["keepArchive", "keepArchive", (keepArchive) => admin.dropQueue!("q", { keepArchive }), [1, "true"]],
    ["page limit", "limit", (limit) => admin.messages.list!({ limit }), [-1, 0, 1001, 1.5, "1"]],
    ["page after", "after", (after) => admin.messages.list!({ after }), [5, "x", "", "-1", {}]],
    ["archive after", "after", (after) => admin.archive.list!({ after }), [5, "x"]],
    ["queues after", "after", (after) => admin.queues.list!({ after }), [5, {}, "\0", []]],
    ["prefix", "prefix", (prefix) => admin.queues.list!({ prefix }), [5, null, {}, "\0", []]],
    ["count prefix", "prefix", (prefix) => admin.queues.count!({ prefix }), [5, null, {}, "\0"]],
    ...["delete", "archive"].flatMap((method): typeof rows => [
      [`${method} by id`, "ids", (ids) => admin.messages[method]!("q", ids), [undefined, null, 1, 1n, {}, true, "", "-1", "01", "1.5", "9223372036854775808", new Set(["1"])]],
      [`${method} by ids`, "ids[1]", (id) => admin.messages[method]!("q", ["1", id]), [undefined, null, 1, 1n, {}, "", "x", "-1", ["1"]]],
    ]),
    ["setVt by id", "id", (id) => admin.messages.setVt!("q", id, "1s"), [undefined, null, 1, ["1"], "x", "-1"]],
    ["setVt by id, when", "vt", (vt) => admin.messages.setVt!("q", "1", vt), [undefined, null, 5, "soon", "-1s", {}, new Date(NaN), new Date(8.64e15)]],
    ...["read", "readBatch", "readWithPoll", "pop", "popBatch"].flatMap((method): typeof rows => [
      [`${method} filter`, "filter", (filter) => queue[method]!({ filter }), [null, "x", 5, true, [], {}, { headers: undefined, payload: undefined }]],
      [`${method} filter's headers`, "filter.headers", (headers) => queue[method]!({ filter: { headers, payload: 1 } }), [null, "x", 5, [], true]],
      [`${method} filter's option`, "filter.lease", (lease) => queue[method]!({ filter: { lease } }), ["1s"]],
    ]),
    ["state", "state", (state) => admin.messages.list!({ state }), ["Visible", "", 5, null]],
    ["outcome", "outcome", (outcome) => admin.archive.count!({ outcome }), ["failed", null]],
    ["message id", "id", (id) => admin.messages.get!(id), [undefined, 1, "x", "-1"]],
    ["archived id", "id", (id) => admin.archive.get!(id), [undefined, 1n, ""]],
    ["work", "work", (work) => client.transaction(work as never), [undefined, null, "select 1", {}]],
  ]
  test.each(rows)("%s (%s)", async (_name, field, call, values) => {
    for (const value of values) await expectOption(() => call(value), field)
  })
})
