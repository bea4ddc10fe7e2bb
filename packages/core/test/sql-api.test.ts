import { StaleLeaseError } from "@sluice/core"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { beforeEach, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"
import { sqlOn } from "./helpers/sql-on.ts"

const { client, pool, freshQueue } = await harness()
beforeEach(() => moveClock(pool, "0"))

const { rows, value, fault } = sqlOn(pool)

describe("docs/sql.md", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/sql.md"), "utf8")
  const snippets = [...page.matchAll(/```sql\n(.*?)```/gs)].map(([, text]) => text!)

  test("has snippets that run, one after the other, and leave what they say", async () => {
    expect(snippets.length).toBeGreaterThanOrEqual(4)
    const notices: string[] = []
    const connection = await pool.connect()
    connection.on("notice", ({ message }) => notices.push(message!))
    const results = []
    for (const snippet of snippets) results.push(...[await connection.query(snippet)].flat())
    connection.release()
    expect(notices).toEqual(["to ada@example.com, attempt 1", "to cy@example.com, attempt 1", "somebody else has it"])
    const metrics = results.find(({ fields }) => fields?.some(({ name }: { name: string }) => name === "in_flight"))!
    expect(metrics.rows).toEqual([
      { name: "emails", length: "3", visible: "2", in_flight: "0", delayed: "1", total: "5" },
    ])
    const popped = results.find(({ fields }) => fields?.[1]?.name === "payload" && fields.length === 2)!
    expect(await rows("select type, data from audit_log")).toEqual([{ type: "order.paid", data: { orderId: 7 } }])
    expect(popped.rows.map(({ payload }: any) => payload)).toEqual([{ to: "di@example.com" }, { order: 1 }])
  })

  test("names every public function with its parameters, and every SQLSTATE that is raised", async () => {
    const functions = await rows(
      `select proname as name, proargnames[1:pronargs] as parameters from pg_proc
      where pronamespace = 'sluice'::regnamespace and proname = any($1)`,
      [[...page.matchAll(/^\| `(\w+)\(/gm)].map(([, name]) => name)],
    )
    expect(functions.length).toBe(51)
    for (const { name, parameters } of functions) {
      const [, documented] = new RegExp(`^\\| \`${name}\\((.*?)\\)\``, "m").exec(page)!
      expect(
        documented!.split(",").map((part) => part.trim().split(/[ =]/)[0]!.replaceAll('"', "")),
        name,
      ).toEqual(parameters ?? [""])
    }
    const source: string = await value("select prosrc from pg_proc where proname = 'raise_fault'")
    for (const code of source.match(/SL0(?!00)\d\d/g)!) expect(page).toContain(`\`${code}\``)
  })
})

describe("messages sent by SQL", () => {
  test("are read by the client as it would have sent them, and the other way round", async () => {
    const name = await freshQueue()
    const id = await value("select sluice.send($1, $2, headers => $3, priority => 2)", [
      name,
      '{"a": [1, "é"]}',
      '{"h": 1}',
    ])
    expect(await client.queue(name).read()).toMatchObject({
      id,
      payload: { a: [1, "é"] },
      headers: { h: 1 },
      priority: 2,
      attempt: 1,
    })
    const sent = await client.queue(name).send({ b: 2 }, { headers: { h: 2 } })
    expect(await rows("select * from sluice.read($1)", [name])).toEqual([
      {
        id: sent,
        priority: 1,
        attempt: 1,
        lease: expect.stringMatching(/^\d+$/),
        enqueued_at: expect.any(Date),
        visible_at: expect.any(Date),
        headers: { h: 2 },
        payload: { b: 2 },
      },
    ])
  })

  test("have the defaults of the client: null payload, no headers, priority 1, ready at once", async () => {
    const name = await freshQueue()
    await rows("select sluice.send($1, null)", [name])
    expect(await client.queue(name).read()).toMatchObject({ payload: null, headers: {}, priority: 1 })
    const flat = await freshQueue({ levels: 1 })
    await rows("select sluice.send($1, 'null')", [flat])
    expect(await client.queue(flat).read()).toMatchObject({ payload: null, priority: 0 })
  })

  test("wait for delay or at, of which the later counts, and the past is now", async () => {
    const name = await freshQueue()
    await rows(
      "select sluice.send($1, '1', delay => '10 seconds'), sluice.send($1, '2', at => now() + interval '20 seconds')",
      [name],
    )
    await rows("select sluice.send($1, '3', delay => '-1 hour'), sluice.send($1, '4', at => '-infinity')", [name])
    expect((await client.queue(name).readBatch({ limit: 9 })).map(({ payload }) => payload)).toEqual([3, 4])
    await moveClock(pool, "11 seconds")
    expect((await client.queue(name).readBatch({ limit: 9 })).map(({ payload }) => payload)).toEqual([1])
    await moveClock(pool, "21 seconds")
    expect((await client.queue(name).readBatch({ limit: 9 })).map(({ payload }) => payload)).toEqual([2])
  })

  test("in a batch keep their order and get ids in order; an empty batch is nothing", async () => {
    const name = await freshQueue()
    const ids = (
      await rows(
        "select sluice.send_batch($1, array['1', 'null', '{}']::jsonb[], headers => '{\"h\": 1}', priority => 0) as id",
        [name],
      )
    ).map(({ id }) => id)
    expect(ids).toEqual([...ids].sort((a, b) => Number(a) - Number(b)))
    const got = await client.queue(name).readBatch({ limit: 5 })
    expect(got.map(({ id, payload, headers }) => [id, payload, headers])).toEqual(
      ids.map((id, n) => [id, [1, null, {}][n], { h: 1 }]),
    )
    expect(await rows("select sluice.send_batch($1, '{}')", [name])).toEqual([])
    expect(await rows("select sluice.send_batch($1, null)", [name])).toEqual([])
  })

  test("in a transaction that rolls back, or from a trigger of one, never were", async () => {
    const name = await freshQueue()
    await pool.query(`create table noted (n int); create function note() returns trigger language plpgsql as $$
      begin perform sluice.send(queue => '${name}', payload => to_jsonb(new), delay => '0'); return new; end $$;
      create trigger note after insert on noted for each row execute function note()`)
    for (const end of ["rollback", "commit"] as const) {
      await inTransaction(
        pool,
        async (tx) => {
          await tx.query("insert into noted values (1), (2)")
          await rows("select sluice.send($1, '3')", [name], tx)
        },
        { end },
      )
      expect((await client.queue(name).readBatch({ limit: 9 })).map(({ payload }) => payload)).toEqual(
        end === "commit" ? [{ n: 1 }, { n: 2 }, 3] : [],
      )
    }
  })
})

describe("a lease taken by SQL", () => {
  const lease = async (name: string, limit = 1): Promise<{ id: string; lease: string }> =>
    (await rows(`select id, lease from sluice.read($1, ${limit}, '30 seconds')`, [name]))[0]

  test("is settled by the client, and one of the client's by SQL", async () => {
    const name = await freshQueue()
    await client.queue(name).sendBatch([{ payload: 1 }, { payload: 2 }])
    const message = await lease(name)
    await client.queue(name).archive(message)
    await fault("SL003", "select sluice.archive($1, $2, $3)", [name, message.id, message.lease])
    const other = (await client.queue(name).read())!
    await rows("select sluice.delete($1, $2, $3)", [name, other.id, other.lease])
    expect(await errorOf(client.queue(name).delete(other))).toBeInstanceOf(StaleLeaseError)
  })

  test("moves by set_vt and extend, and ends by release and retry", async () => {
    const name = await freshQueue({ maxAttempts: 3 })
    const id = await client.queue(name).send(1)
    let held = await lease(name)
    const args = () => [name, held.id, held.lease]
    const seconds = async (text: string) =>
      Math.round(await value(`select extract(epoch from ${text} - sluice.clock())::float8`, args())) + 0 // no -0
    expect(await seconds("sluice.set_vt($1, $2, $3, '100 seconds')")).toBe(100)
    expect(await seconds("sluice.extend($1, $2, $3, by => '50 seconds')")).toBe(150)
    expect(await seconds("sluice.set_vt($1, $2, $3, delay => '-5 seconds')")).toBe(0)
    await rows("select sluice.release($1, $2, $3)", args())
    expect(await client.admin.messages.get(id)).toMatchObject({ state: "visible", attempt: 1 })
    held = await lease(name)
    expect(
      await value("select sluice.retry($1, $2, $3, delay => '1 minute', error => '{\"message\": \"no\"}')", args()),
    ).toBe("retry")
    expect(await client.admin.messages.get(id)).toMatchObject({
      state: "delayed",
      errors: [{ message: "no", attempt: 2 }],
    })
    await moveClock(pool, "61 seconds")
    held = await lease(name)
    expect(await value("select sluice.retry($1, $2, $3)", args())).toBe("dead")
    expect(await client.admin.archive.get(id)).toMatchObject({ outcome: "dead", attempt: 3 })
  })

  test("is put off by snooze, the attempt not charged, and ends for good by dead_letter; redrive brings it back", async () => {
    const dead = await freshQueue()
    const name = await freshQueue({ maxAttempts: 1, deadLetter: dead })
    const id = await client.queue(name).send({ n: 1 }, { headers: { h: "a" } })
    for (let i = 0; i < 5; i++) {
      const held = await lease(name)
      expect(await value("select sluice.snooze($1, $2, $3, '0 seconds') <= sluice.clock()", [name, id, held.lease])).toBe(true)
    }
    const held = await lease(name)
    await rows("select sluice.dead_letter($1, $2, $3, '\"why\"')", [name, id, held.lease])
    expect(await client.admin.messages.get(id)).toMatchObject({ queue: dead, errors: [{ name: "Error", message: "why", attempt: 1 }] })
    expect(await value("select sluice.redrive($1, filter => '{\"headers\": {\"h\": \"b\"}}')", [name])).toBe(0)
    expect(await value("select sluice.redrive($1, \"limit\" => 5, filter => '{\"headers\": {\"h\": \"a\"}, \"payload\": {\"n\": 1}}')", [name])).toBe(1)
    await fault("SL003", "select sluice.snooze($1, $2, $3, '1s')", [name, id, held.lease])
    await client.queue(name).deadLetter(await lease(name))
    expect(await fault("22023", "select sluice.redrive($1)", [dead])).toEqual({ code: "nothing_died", queue: dead, deadLetterOf: [name] })
    expect(await value("select sluice.redrive($1)", [name])).toBe(1)
    expect(await lease(name)).toMatchObject({ id })
  })

  test("is noted for cancellation, and a waiting message goes at once; a paused queue gives none", async () => {
    const name = await freshQueue()
    const [one, two] = await client.queue(name).sendBatch([{ payload: 1 }, { payload: 2 }])
    const held = await lease(name)
    expect(await value("select sluice.cancel($1, $2)", [name, two])).toBe("cancelled")
    expect(await value("select sluice.cancel($1, $2)", [name, two])).toBeNull()
    expect(await value("select sluice.cancel($1, null)", [name])).toBeNull()
    expect(await value("select sluice.cancel($1, $2)", [name, one])).toBe("requested")
    await rows("select sluice.release($1, $2, $3)", [name, one, held.lease])
    expect(await client.admin.metrics(name)).toMatchObject({ length: 0 })
    await client.queue(name).send(3)
    await rows("select sluice.pause_queue($1), sluice.pause_queue($1)", [name])
    expect(await rows("select * from sluice.read($1)", [name])).toEqual([])
    await rows("select sluice.resume_queue($1), sluice.resume_queue($1)", [name])
    expect(await rows("select payload from sluice.read($1)", [name])).toEqual([{ payload: 3 }])
  })

  test.each([
    "delete($1, $2, $3)",
    "archive($1, $2, $3)",
    "release($1, $2, $3)",
    "retry($1, $2, $3)",
    "snooze($1, $2, $3, '1s')",
    "dead_letter($1, $2, $3)",
    "set_vt($1, $2, $3, '1s')",
    "extend($1, $2, $3, '1s')",
  ])("that is stale, null or of another queue is SL003, and nothing changes: %s", async (call) => {
    const [name, other] = [await freshQueue(), await freshQueue()]
    await client.queue(name).send(1)
    const held = await lease(name)
    const before = await client.admin.messages.get(held.id)
    for (const values of [
      [name, held.id, "1"],
      [name, held.id, null],
      [name, "1", held.lease],
      [other, held.id, held.lease],
    ]) {
      expect(await fault("SL003", `select sluice.${call}`, values)).toEqual({
        code: "stale_lease",
        queue: values[0],
        id: values[1],
      })
    }
    expect(await client.admin.messages.get(held.id)).toEqual(before)
    expect((await rows(`select sluice.${call}`, [name, held.id, held.lease])).length).toBe(1)
  })

  test("or a pop keeps the order of delivery and the limit, and pop leaves nothing to settle", async () => {
    const name = await freshQueue()
    for (const priority of [3, 0, 2]) await client.queue(name).send(priority, { priority })
    expect(await rows("select payload, attempt from sluice.read($1, lease => '1s', \"limit\" => 2)", [name])).toEqual([
      { payload: 0, attempt: 1 },
      { payload: 2, attempt: 1 },
    ])
    expect(await rows('select payload, lease, attempt from sluice.pop($1, "limit" => 5)', [name])).toEqual([
      { payload: 3, lease: null, attempt: 1 },
    ])
    expect(await rows("select * from sluice.pop($1)", [name])).toEqual([])
    expect(await rows("select * from sluice.read($1, 0)", [name])).toEqual([])
  })
})
