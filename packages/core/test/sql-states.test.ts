import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { sqlOn } from "./helpers/sql-on.ts"

const { client, pool, freshQueue } = await harness()
const { rows, value, fault } = sqlOn(pool)

describe("queues by SQL", () => {
  test("are created, found, updated and dropped as by the client", async () => {
    const [made] = await rows('select * from sluice.create_queue(\'by.sql\', \'{"levels": 2, "lease": "1 minute"}\')')
    expect(made).toEqual({ id: expect.any(Number), created: true })
    expect(await rows("select * from sluice.create_queue(name => 'by.sql')")).toEqual([{ ...made, created: false }])
    expect(await client.admin.createQueue("by.sql", { levels: 2, lease: "60s" })).toMatchObject({
      id: String(made.id),
      created: false,
    })
    expect(await value("select sluice.update_queue('by.sql', '{\"maxAttempts\": null}')")).toMatchObject({
      name: "by.sql",
      levels: 2,
      lease: 60_000,
      maxAttempts: null,
    })
    expect(await client.admin.getQueue("by.sql")).toMatchObject({ maxAttempts: null })
    await client.queue("by.sql").send(1)
    expect(
      await rows("select name, length, visible, total, oldest_age >= '0' as aged from sluice.metrics('by.sql')"),
    ).toEqual([{ name: "by.sql", length: "1", visible: "1", total: "1", aged: true }])
    expect((await rows("select name from sluice.metrics()")).map(({ name }) => name)).toEqual(
      (await client.admin.listQueues()).map(({ name }) => name),
    )
    expect(await value("select sluice.purge('by.sql')")).toBe(1)
    expect(await value("select sluice.drop_queue('by.sql', keep_archive => true)")).toBe(true)
    expect(await value("select sluice.drop_queue('by.sql', force => true)")).toBe(false)
  })
})

describe("SQLSTATE", () => {
  test.each([
    "send('no', '1')",
    "send_batch('no', array['1']::jsonb[])",
    "send_batch('no', '{}')",
    "read('no')",
    "pop('no')",
    "delete('no', 1, 1)",
    "archive('no', 1, 1)",
    "release('no', 1, 1)",
    "retry('no', 1, 1)",
    "set_vt('no', 1, 1, '1s')",
    "extend('no', 1, 1, '1s')",
    "snooze('no', 1, 1, '1s')",
    "dead_letter('no', 1, 1)",
    "cancel('no', 1)",
    "pause_queue('no')",
    "resume_queue('no')",
    "redrive('no')",
    "redrive(null)",
    "purge('no')",
    "metrics('no')",
    "update_queue('no', '{}')",
    "create_queue('new', '{\"deadLetter\": \"no\"}')",
  ])("SL001 an unknown queue: %s", async (call) => {
    expect(await fault("SL001", `select * from sluice.${call}`)).toEqual({ code: "queue_not_found", queue: call.includes("null") ? null : "no" })
  })

  test.each([
    "send('stream', '1')",
    "read('stream')",
    "pop('stream')",
    "delete('stream', 1, 1)",
    "snooze('stream', 1, 1, '1s')",
    "dead_letter('stream', 1, 1)",
    "cancel('stream', 1)",
    "pause_queue('stream')",
    "resume_queue('stream')",
    "redrive('stream')",
    "purge('stream')",
    "update_queue('stream', '{}')",
    "create_queue('stream')",
    "drop_queue('stream')",
  ])("SL002 another kind: %s", async (call) => {
    await pool.query(
      "insert into sluice.queue (name, kind, created_at) values ('stream', 'stream', now()) on conflict do nothing",
    )
    expect(await fault("SL002", `select * from sluice.${call}`)).toMatchObject({
      code: "wrong_kind",
      queue: "stream",
      actual: "stream",
    })
  })

  test("SL004 a priority that the queue does not have, in which nothing is sent", async () => {
    const name = await freshQueue({ levels: 2 })
    for (const priority of [-1, 2]) {
      expect(await fault("SL004", "select sluice.send($1, '1', priority => $2)", [name, priority])).toMatchObject({
        queue: name,
        actual: priority,
        levels: 2,
      })
      expect(
        await fault("SL004", "select sluice.send_batch($1, array['1']::jsonb[], priority => $2)", [name, priority]),
      ).toMatchObject({ queue: name, actual: priority, levels: 2 })
    }
    expect(await client.admin.metrics(name)).toMatchObject({ length: 0 })
  })

  test.each(["repeatable read", "serializable"])("SL005 read and pop at %s", async (level) => {
    const name = await freshQueue()
    for (const call of ["read", "pop"]) {
      const error = await errorOf<Error & { code: string }>(
        inTransaction(pool, (tx) => rows(`select * from sluice.${call}($1)`, [name], tx), {
          begin: `begin isolation level ${level}`,
        }),
      )
      expect(error.code).toBe("SL005")
    }
    await inTransaction(pool, (tx) => rows("select sluice.send($1, '1')", [name], tx), {
      begin: `begin isolation level ${level}`,
    })
  })

  test("SL006 a queue that must be new and is not", async () => {
    const name = await freshQueue()
    expect(
      await fault("SL006", "select sluice.raise_fault(fault) from sluice.try_create_queue($1, '{}', true)", [name]),
    ).toEqual({ code: "queue_already_exists", queue: name })
  })

  test("SL007 other options, SL008 a cycle, SL009 a queue in use", async () => {
    const [name, dead] = [await freshQueue(), await freshQueue()]
    expect(await fault("SL007", "select sluice.create_queue($1, '{\"levels\": 9}')", [name])).toEqual({
      code: "options_differ",
      queue: name,
      differences: [{ option: "levels", stored: 4, requested: 9 }],
    })
    await rows("select sluice.update_queue($1, jsonb_build_object('deadLetter', $2::text))", [name, dead])
    expect(
      await fault("SL008", "select sluice.update_queue($1, jsonb_build_object('deadLetter', $2::text))", [dead, name]),
    ).toMatchObject({ path: [dead, name, dead] })
    await client.queue(dead).send(1)
    await client.queue(dead).read()
    expect(await fault("SL009", "select sluice.drop_queue($1)", [dead])).toMatchObject({
      inFlight: 1,
      deadLetterOf: [name],
    })
  })
})
