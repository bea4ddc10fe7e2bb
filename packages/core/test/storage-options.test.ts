import { QueueOptionsDifferError, StorageFixedError } from "@sluice/core"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"
import { admin as untyped, expectOption } from "./helpers/refused.ts"
import { sqlOn } from "./helpers/sql-on.ts"

const { client, pool, freshQueue } = await harness()
const { admin } = client
const { value, rows, fault } = sqlOn(pool)

const byId = { by: "id", interval: 10, retention: 100 } as const
const byTime = { by: "time", interval: "1d", retention: "7d" } as const
const whole = { unread: "keep", archive: false } as const

describe("where a queue is stored", () => {
  test.each([
    ["nothing", {}, { storage: "shared", partition: null, archiveRetention: null }],
    ["no partition", { partition: null }, { storage: "shared", partition: null }],
    ["the shared storage", { storage: "shared", partition: null }, { storage: "shared", partition: null }],
    ["its own", { storage: "dedicated" }, { storage: "dedicated", partition: null }],
    ["its own without a log", { storage: "unlogged" }, { storage: "unlogged", partition: null }],
    ["ranges of ids", { partition: byId }, { storage: "dedicated", partition: { ...byId, ...whole } }],
    ["ranges of time without a log", { storage: "unlogged", partition: byTime }, { storage: "unlogged", partition: { ...byTime, ...whole } }],
    ["all of it", { storage: "dedicated", partition: { ...byTime, unread: "drop", archive: true } }, { storage: "dedicated", partition: { ...byTime, unread: "drop", archive: true } }],
    ["no retention", { partition: { by: "time", interval: "1s", retention: 0 } }, { storage: "dedicated", partition: { by: "time", interval: "1s", retention: 0, ...whole } }],
    ["an archive for a while", { archiveRetention: "36h" }, { storage: "shared", archiveRetention: "36h" }],
  ] as const)("by default and as asked for: %s", async (_what, options, stored) => {
    const name = await freshQueue(options)
    expect(await admin.getQueue(name)).toMatchObject(stored)
    expect(await admin.createQueue(name, options)).toMatchObject({ created: false, ...stored })
    expect(await admin.createQueue(name)).toMatchObject({ created: false, ...stored })
    expect((await admin.listQueues()).find((queue) => queue.name === name)).toMatchObject(stored)
  })

  test.each([
    [{ partition: byTime, archiveRetention: "2d" }, { partition: { by: "time", interval: "24h", retention: "168h" }, archiveRetention: "48h" }],
    [{ partition: { by: "time", interval: "1500ms", retention: "1m" } }, { partition: { retention: "60s", interval: "1.5s", by: "time", unread: "keep" }, storage: "dedicated" }],
    [{ partition: byId }, { partition: { archive: false, ...byId } }],
  ] as const)("equal options, written differently, are equal: %j", async (options, again) => {
    const name = await freshQueue(options)
    expect((await admin.createQueue(name, again)).created).toBe(false)
    expect(await admin.updateQueue(name, again)).toMatchObject({ name })
  })

  test("other options name each difference and change nothing", async () => {
    const name = await freshQueue({ partition: byId, archiveRetention: "1d" })
    const before = await admin.getQueue(name)
    const other = { storage: "unlogged", partition: { ...byId, interval: 20, unread: "drop" }, archiveRetention: null } as const
    const error = await errorOf<QueueOptionsDifferError>(admin.createQueue(name, other))
    expect(error).toBeInstanceOf(QueueOptionsDifferError)
    expect(error.differences).toEqual([
      { option: "archiveRetention", stored: "1d", requested: null },
      { option: "partition", stored: { ...byId, ...whole }, requested: { ...byId, ...whole, interval: 20, unread: "drop" } },
      { option: "storage", stored: "dedicated", requested: "unlogged" },
    ])
    expect(await admin.getQueue(name)).toEqual(before)
  })

  test.each([
    [{}, { storage: "dedicated" }],
    [{}, { partition: byId }],
    [{ storage: "dedicated" }, { partition: null }],
    [{ storage: "dedicated" }, { partition: byTime }],
    [{ partition: byId }, { partition: byTime }],
    [{ partition: byId, archiveRetention: "1d" }, { partition: null, archiveRetention: "1d" }],
  ] as const)("a queue of %j is not one of %j", async (options, other) => {
    const name = await freshQueue(options)
    const same = "partition" in other && other.partition === null && !("partition" in options)
    if (same) expect((await admin.createQueue(name, other)).created).toBe(false)
    else expect(await errorOf(admin.createQueue(name, other))).toBeInstanceOf(QueueOptionsDifferError)
  })

  test("differences of lengths of time are written as options are", async () => {
    const name = await freshQueue({ partition: byTime })
    const error = await errorOf<QueueOptionsDifferError>(admin.createQueue(name, { partition: { ...byTime, retention: "8d" } }))
    expect(error.differences).toEqual([{ option: "partition", stored: { ...byTime, ...whole }, requested: { ...byTime, ...whole, retention: "8d" } }])
  })
})

describe("updateQueue", () => {
  test.each([
    [{}, { storage: "dedicated" }],
    [{}, { partition: byId }],
    [{ storage: "dedicated" }, { storage: "shared" }],
    [{ storage: "dedicated" }, { storage: "unlogged" }],
    [{ storage: "dedicated" }, { partition: byTime }],
    [{ partition: byId }, { partition: null }],
    [{ partition: byId }, { partition: { ...byId, interval: 20 } }],
    [{ partition: byId }, { partition: { ...byId, archive: true } }],
    [{ partition: byId }, { partition: byTime }],
    [{ partition: byTime }, { partition: { ...byTime, interval: "2d" } }],
    [{ partition: byTime }, { storage: "unlogged" }],
  ] as const)("of %j to %j is refused: storage is fixed at creation", async (options, patch) => {
    const name = await freshQueue(options)
    const before = await admin.getQueue(name)
    const error = await errorOf<StorageFixedError>(admin.updateQueue(name, { levels: 2, ...patch }))
    expect(error).toBeInstanceOf(StorageFixedError)
    expect(error).toMatchObject({ code: "storage_fixed", queue: name, stored: { storage: before.storage, partition: before.partition } })
    expect(await admin.getQueue(name)).toEqual(before)
  })

  test("changes what retention keeps, and nothing of a storage that is named as it is", async () => {
    const name = await freshQueue({ partition: byTime })
    expect(await admin.updateQueue(name, { partition: { ...byTime, retention: "2h", unread: "drop" } })).toMatchObject({ partition: { ...byTime, ...whole, retention: "2h", unread: "drop" } })
    expect(await admin.updateQueue(name, { storage: "dedicated", partition: byTime })).toMatchObject({ partition: { ...byTime, ...whole } })
    expect(await admin.updateQueue(name, { storage: "dedicated", levels: 2 })).toMatchObject({ levels: 2, storage: "dedicated", partition: { ...byTime, ...whole } })
    const shared = await freshQueue()
    expect(await admin.updateQueue(shared, { storage: "shared", partition: null, archiveRetention: "5d" })).toMatchObject({ storage: "shared", archiveRetention: "5d" })
    expect(await admin.updateQueue(shared, { archiveRetention: null })).toMatchObject({ archiveRetention: null })
  })

  test("needs no word of the storage where only the retention changes", async () => {
    const name = await freshQueue({ storage: "unlogged", partition: byId })
    expect((await admin.createQueue(name, { partition: byId })).created).toBe(false)
    expect(await admin.updateQueue(name, { partition: { ...byId, retention: 5 } })).toMatchObject({ storage: "unlogged", partition: { retention: 5 } })
  })

  test("gives no retention of the shared archive to a queue with an archive of its own, nor the other way round", async () => {
    const name = await freshQueue({ partition: { ...byId, archive: true } })
    expect(await errorOf(admin.updateQueue(name, { archiveRetention: "1d" }))).toMatchObject({ code: "invalid_option", field: "archiveRetention" })
    expect(await admin.getQueue(name)).toMatchObject({ archiveRetention: null })
  })
})

describe("no SQL runs for", () => {
  const taking = ["createQueue", "updateQueue"] as const
  const partitions: [field: string, partition: unknown][] = [
    ...["x", 5, true, []].map((bad): [string, unknown] => ["partition", bad]),
    ["partition.every", { ...byId, every: 5 }],
    ...[undefined, null, "ids", "ID", 5].map((by): [string, unknown] => ["partition.by", { ...byId, by }]),
    ...[0, -1, 1.5, "10", "1d", null, undefined, 2 ** 40 + 1, NaN].map((interval): [string, unknown] => ["partition.interval", { ...byId, interval }]),
    ...[-1, 0.5, "100", "7d", null, undefined].map((retention): [string, unknown] => ["partition.retention", { ...byId, retention }]),
    ...[0, 10, "500ms", "0s", "999ms", "1 day", null, undefined].map((interval): [string, unknown] => ["partition.interval", { ...byTime, interval }]),
    ...[5, "-1s", "7 days", null, undefined].map((retention): [string, unknown] => ["partition.retention", { ...byTime, retention }]),
    ...["no", true, null].map((unread): [string, unknown] => ["partition.unread", { ...byId, unread }]),
    ...["no", 1, 0].map((archive): [string, unknown] => ["partition.archive", { ...byId, archive }]),
  ]
  test.each(taking.flatMap((method) => partitions.map(([field, partition]) => [method, field, partition] as const)))("%s with a wrong %s: %j", (method, field, partition) =>
    expectOption(() => untyped[method]!("q", { partition }), field))
  test.each(taking.flatMap((method) => ["Shared", "", null, true, 5, "heap"].map((storage) => [method, storage] as const)))("%s with storage %j", (method, storage) =>
    expectOption(() => untyped[method]!("q", { storage }), "storage"))
  test.each(taking)("%s with a partition in the shared storage", (method) => expectOption(() => untyped[method]!("q", { storage: "shared", partition: byId }), "storage"))
  test.each(taking)("%s with a retention of an archive that is its own", (method) =>
    expectOption(() => untyped[method]!("q", { partition: { ...byId, archive: true }, archiveRetention: "1d" }), "archiveRetention"))
  test.each(taking.flatMap((method) => [0, "0s", "0.0001ms", 5, "7 days", "-1d", true, {}].map((retention) => [method, retention] as const)))("%s with archiveRetention %j", (method, archiveRetention) =>
    expectOption(() => untyped[method]!("q", { archiveRetention }), "archiveRetention"))
})

describe("from SQL", () => {
  test("options are those of the client, lengths of time as intervals", async () => {
    const options = { storage: "unlogged", partition: { by: "time", interval: "1 day", retention: "1 week", unread: "drop" }, archiveRetention: "3 days" }
    await rows("select sluice.create_queue('by.sql', $1)", [options])
    expect(await admin.getQueue("by.sql")).toMatchObject({ storage: "unlogged", partition: { by: "time", interval: "1d", retention: "7d", unread: "drop", archive: false }, archiveRetention: "3d" })
    expect(await rows("select created from sluice.create_queue('by.sql', $1)", [{ partition: { by: "time", interval: "24:00", retention: "168 hours", unread: "drop" }, storage: "unlogged" }])).toEqual([{ created: false }])
    expect((await value("select sluice.update_queue('by.sql', $1)", [{ storage: "unlogged", partition: { by: "time", interval: "1 day", retention: "2 days" } }])).partition).toMatchObject({ retention: 172_800_000, unread: "keep" })
    expect(await fault("SL010", "select sluice.update_queue('by.sql', $1)", [{ storage: "dedicated" }])).toMatchObject({ code: "storage_fixed", queue: "by.sql" })
    expect(await fault("SL007", "select sluice.create_queue('by.sql', $1)", [{ archiveRetention: "4 days" }])).toMatchObject({ differences: [{ option: "archiveRetention" }] })
  })

  test.each<[argument: string, options: unknown]>([
    ["storage", { storage: "heap" }],
    ["storage", { storage: 5 }],
    ["storage", { storage: "shared", partition: byId }],
    ["partition", { partition: "x" }],
    ["partition", { partition: [] }],
    ["partition", { partition: { ...byId, every: 1 } }],
    ["partition.by", { partition: { interval: 1, retention: 1 } }],
    ["partition.by", { partition: { ...byId, by: "size" } }],
    ...[0, -1, "x", "1 day", null, true, {}, 1.5, 1e30].map((interval): [string, unknown] => ["partition.interval", { partition: { ...byId, interval } }]),
    ...[0, "0", "-1 day", "x", null, true, "infinity", "999 milliseconds"].map((interval): [string, unknown] => ["partition.interval", { partition: { ...byTime, interval } }]),
    ...[-1, "x", null, "7 days"].map((retention): [string, unknown] => ["partition.retention", { partition: { ...byId, retention } }]),
    ...["-1 day", "x", null, "infinity"].map((retention): [string, unknown] => ["partition.retention", { partition: { ...byTime, retention } }]),
    ["partition.unread", { partition: { ...byId, unread: "no" } }],
    ["partition.archive", { partition: { ...byId, archive: "no" } }],
    ["archiveRetention", { partition: { ...byId, archive: true }, archiveRetention: "1 day" }],
    ...["0", "-1 day", "x", 5, true, "infinity"].map((archiveRetention): [string, unknown] => ["archiveRetention", { archiveRetention }]),
  ])("a wrong %s is 22023 of create_queue and update_queue: %j", async (argument, options) => {
    const name = await freshQueue()
    expect(await fault("22023", "select sluice.create_queue('never', $1)", [options])).toEqual({ code: "invalid_argument", argument })
    expect(await fault("22023", "select sluice.update_queue($1, $2)", [name, options])).toEqual({ code: "invalid_argument", argument })
    expect(await admin.queues.count({ prefix: "never" })).toBe(0)
  })
})
