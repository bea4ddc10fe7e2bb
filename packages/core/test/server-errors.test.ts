import {
  type Client,
  ConnectionError,
  PermissionDeniedError,
  QueueNotFoundError,
  SchemaNotInstalledError,
  SchemaVersionError,
  type SluiceError,
  sqlState,
  StatementCancelledError,
} from "@sluice/core"
import { randomPort, startEmbedded } from "@sluice/testkit"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, describe, expect, test } from "vitest"
import { driverNames, openClient } from "./helpers/drivers.ts"
import { errorOf } from "./helpers/error-of.ts"
import { harness, openPool } from "./helpers/harness.ts"

const { url, pool, client: own, freshQueue } = await harness()
const database = new URL(url).pathname.slice(1)
const message = { id: "1", lease: "1" }
type Joined = { tx?: unknown }

/** Every call that names a queue. */
const calls: Record<string, (client: Client, queue: string, joined: Joined) => Promise<unknown>> = {
  send: (client, queue, joined) => client.queue(queue).send(1, joined),
  sendBatch: (client, queue, joined) => client.queue(queue).sendBatch([{ payload: 1 }], joined),
  read: (client, queue, joined) => client.queue(queue).read(joined),
  readBatch: (client, queue, joined) => client.queue(queue).readBatch({ limit: 5, ...joined }),
  readWithPoll: (client, queue) => client.queue(queue).readWithPoll({ wait: "10s" }),
  pop: (client, queue, joined) => client.queue(queue).pop(joined),
  popBatch: (client, queue, joined) => client.queue(queue).popBatch({ limit: 5, ...joined }),
  delete: (client, queue, joined) => client.queue(queue).delete(message, joined),
  archive: (client, queue, joined) => client.queue(queue).archive(message, joined),
  release: (client, queue, joined) => client.queue(queue).release(message, joined),
  retry: (client, queue, joined) => client.queue(queue).retry(message, joined),
  deleteBatch: (client, queue, joined) => client.queue(queue).deleteBatch([message], joined),
  archiveBatch: (client, queue, joined) => client.queue(queue).archiveBatch([message], joined),
  setVt: (client, queue, joined) => client.queue(queue).setVt(message, "1s", joined),
  extend: (client, queue, joined) => client.queue(queue).extend(message, "1s", joined),
  purge: (client, queue, joined) => client.queue(queue).purge(joined),
  metrics: (client, queue, joined) => client.queue(queue).metrics(joined),
  "admin.getQueue": (client, queue, joined) => client.admin.getQueue(queue, joined),
  "admin.queues.get": (client, queue, joined) => client.admin.queues.get(queue, joined),
  "admin.updateQueue": (client, queue, joined) => client.admin.updateQueue(queue, { levels: 2 }, joined),
  "admin.metrics": (client, queue, joined) => client.admin.metrics(queue, joined),
  "admin.purge": (client, queue, joined) => client.admin.purge(queue, joined),
  "admin.createQueue": (client, queue, joined) => client.admin.createQueue("hopeful", { deadLetter: queue, ...joined }),
}
/** Those that name none, or do not mind. */
const others: typeof calls = {
  "admin.listQueues": (client, _queue, joined) => client.admin.listQueues(joined),
  "admin.metricsAll": (client, _queue, joined) => client.admin.metricsAll(joined),
  "admin.dropQueue": (client, queue, joined) => client.admin.dropQueue(queue, joined),
  "admin.queues.count": (client, _queue, joined) => client.admin.queues.count(joined),
  "admin.messages.get": (client, _queue, joined) => client.admin.messages.get("1", joined),
  "admin.messages.list": (client, queue, joined) => client.admin.messages.list({ queue, ...joined }),
  "admin.archive.count": (client, _queue, joined) => client.admin.archive.count(joined),
}

async function expectEach(
  client: Client,
  run: typeof calls,
  queue: string,
  Expected: new (...args: never[]) => SluiceError,
  facts: object,
): Promise<void> {
  const errors = await Promise.all(
    Object.entries(run).map(
      async ([name, call]) => [name, await errorOf<SluiceError>(call(client, queue, {}))] as const,
    ),
  )
  for (const [name, error] of errors) {
    expect(error, `${name}: ${error.stack}`).toBeInstanceOf(Expected)
    expect(error, name).toMatchObject(facts)
  }
}

async function role(name: string, attributes: string): Promise<{ url: string; role: string }> {
  const full = `${database}_${name}`
  await pool.query(`create role ${full} login password 'secret' ${attributes}`)
  const as = new URL(url)
  as.username = full
  as.password = "secret"
  afterAll(() => pool.query(`drop owned by ${full}; drop role ${full}`))
  return { url: as.href, role: full }
}
const stranger = await role("stranger", "")
const impatient = await role("impatient", "superuser")
await pool.query(`alter role ${impatient.role} set statement_timeout = '150ms'`)
const unlocked = await role("unlocked", "superuser")
await pool.query(`alter role ${unlocked.role} set lock_timeout = '150ms'`)

describe.each(driverNames)("over %s", (driver) => {
  const open = (at: string, options = {}) => openClient(driver, at, options)

  test("an unknown queue is a QueueNotFoundError with its name, from every call", async () => {
    const { client, end } = open(url)
    await expectEach(client, calls, "no.such", QueueNotFoundError, { code: "queue_not_found", queue: "no.such" })
    await end()
  })

  test("an unknown queue leaves the caller's transaction usable, whichever call met it", async () => {
    const { client, end } = open(url)
    const name = await freshQueue()
    await client.transaction(async (tx) => {
      for (const [call, run] of Object.entries(calls)) {
        if (call === "readWithPoll") continue
        expect(await errorOf(run(client, "no.such", { tx })), call).toBeInstanceOf(QueueNotFoundError)
      }
      await client.queue(name).send("after", { tx })
    })
    expect(await client.queue(name).read()).toMatchObject({ payload: "after" })
    await end()
  })

  test("a missing schema is a SchemaNotInstalledError with its name and the server's error", async () => {
    const { client, end } = open(url, { schema: "nowhere" })
    await expectEach(client, { ...calls, ...others }, "q", SchemaNotInstalledError, {
      code: "schema_not_installed",
      schema: "nowhere",
    })
    const error = await errorOf(client.queue("q").send(1))
    expect(sqlState(error.cause)).toBe("3F000")
    expect(await errorOf(client.admin.verify())).toMatchObject({ code: "schema_not_installed", schema: "nowhere" })
    expect(await errorOf(client.transaction((tx) => client.queue("q").send(1, { tx })))).toMatchObject({
      code: "schema_not_installed",
    })
    await end()
  })

  test.each([
    ["older", -1],
    ["newer", 1],
  ])("an %s schema without what is called is a SchemaVersionError with both versions", async (age, step) => {
    const schema = `${age}_${driverNames.indexOf(driver)}`
    const { client, end } = open(url, { schema })
    const { to } = await client.admin.install()
    await client.admin.createQueue("q")
    const before = client.admin.migrations().at(-2)!.version
    if (step < 0) await pool.query(`delete from ${schema}.migration where version = ${to}`)
    else await pool.query(`insert into ${schema}.migration (version, name, breaking) values (${to + 1}, 'later', true)`)
    await pool.query(`drop function ${schema}.try_send`)
    const error = await errorOf(client.queue("q").send(1))
    expect(error).toBeInstanceOf(SchemaVersionError)
    expect(error).toMatchObject({ code: "schema_version", schema, installed: step < 0 ? before : to + step, expected: to })
    expect(sqlState(error.cause)).toBe("42883")
    await end()
  })

  test("a role without rights gets a PermissionDeniedError with the server's reason, outside and inside a transaction", async () => {
    const { client, end } = open(stranger.url)
    await expectEach(client, { ...calls, ...others }, await freshQueue(), PermissionDeniedError, {
      code: "permission_denied",
      message: expect.stringMatching(/permission denied for schema sluice/),
    })
    const error = await errorOf(
      client.transaction((tx) => client.queue("q").send("connection terminated: not queryable", { tx })),
    )
    expect(error).toBeInstanceOf(PermissionDeniedError)
    expect(sqlState(error.cause)).toBe("42501")
    await end()
  })

  test.each(["timeout exceeded when trying to connect", "ECONNREFUSED connection ended"])(
    "a payload of %j does not make another error look like a lost connection",
    async (payload) => {
      const { client, end } = open(url)
      const name = await freshQueue()
      await pool.query(
        "create function sluice.refuse() returns trigger language plpgsql as $$ begin raise 'no' using errcode = '23514'; end $$",
      )
      await pool.query(
        "create trigger refuse before insert on sluice.message for each row execute function sluice.refuse()",
      )
      const error = await errorOf(client.transaction((tx) => client.queue(name).send(payload, { tx })))
      await pool.query("drop function sluice.refuse() cascade")
      expect(error).not.toBeInstanceOf(ConnectionError)
      expect(sqlState(error)).toBe("23514")
      await end()
    },
  )

  test("a server that is down is a ConnectionError with its cause, from every call", async () => {
    const nowhere = new URL(url)
    nowhere.port = String(await randomPort())
    const { client, end } = open(nowhere.href)
    await expectEach(client, { ...calls, ...others }, "q", ConnectionError, {
      code: "connection",
      cause: expect.any(Error),
    })
    expect(await errorOf(client.admin.install())).toMatchObject({ code: "connection", cause: expect.any(Error) })
    expect(await errorOf(client.transaction(async () => 1))).toMatchObject({
      code: "connection",
      cause: expect.any(Error),
    })
    await client.wake("q") // a hint, which never fails
    await end()
  })

  test.each([
    ["statement_timeout", impatient.url],
    ["lock_timeout", unlocked.url],
  ])("%s is a StatementCancelledError with its cause, and nothing is half-written", async (_name, at) => {
    const { client, end } = open(at)
    const name = await freshQueue()
    const lock = await pool.connect()
    await lock.query("begin; lock table sluice.message in share mode")
    const errors = await Promise.all(
      [
        client.queue(name).send(1),
        client.queue(name).sendBatch([{ payload: 1 }, { payload: 2 }]),
        client.transaction((tx) => client.queue(name).send(1, { tx })),
      ].map((call) => errorOf(call)),
    )
    await lock.query("rollback")
    lock.release()
    for (const error of errors) {
      expect(error).toBeInstanceOf(StatementCancelledError)
      expect(error).toMatchObject({ code: "statement_cancelled", message: expect.stringMatching(/timeout/) })
      expect(["57014", "55P03"]).toContain(sqlState(error.cause))
    }
    expect(await own.admin.metrics(name)).toMatchObject({ length: 0 })
    await client.queue(name).send("alive")
    await end()
  })
})

test("a server killed in the middle of a call is a ConnectionError with its cause on every driver, and nothing is half-written", async () => {
  const server = await startEmbedded()
  const admin = openPool(server.url, 2)
  const open = driverNames.map((name) => openClient(name, server.url, {}, 4))
  const { client } = open[0]!
  await client.admin.install()
  await client.admin.createQueue("q")
  const lock = await admin.connect()
  lock.on("error", () => {})
  await lock.query("begin; lock table sluice.message in access exclusive mode")
  const errors = open.flatMap(({ client: one }) => [
    errorOf(one.queue("q").send(1)),
    errorOf(one.queue("q").sendBatch([{ payload: 1 }])),
    errorOf(one.queue("q").read()),
  ])
  // Not over postgres.js 3.4.9: it rolls back on the dead connection and ends the process (porsager/postgres#1208).
  for (const { client: one } of [open[0]!, open[2]!])
    errors.push(errorOf(one.transaction((tx) => one.queue("q").send(1, { tx }))))
  const waiting = async (): Promise<number> =>
    (await admin.query("select 1 from pg_stat_activity where wait_event_type = 'Lock'")).rowCount!
  while ((await waiting()) < errors.length) await sleep(20)
  await server.stopImmediate()
  for (const error of await Promise.all(errors)) {
    expect(error).toBeInstanceOf(ConnectionError)
    expect(error).toMatchObject({ code: "connection", cause: expect.any(Error) })
  }
  lock.release(true)
  await server.restart()
  for (const { client: one } of open) expect(await one.admin.metrics("q")).toMatchObject({ length: 0 })
  await client.queue("q").send("alive")
  expect(await open[1]!.client.queue("q").read()).toMatchObject({ payload: "alive", attempt: 1 })
  for (const { end } of open) await end()
  await admin.end()
  await server.stop()
}, 60_000)
