import { type Client, createClient, PermissionDeniedError, type QueueOptions } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { databasePerFile } from "@sluice/testkit/vitest"
import type { PoolClient } from "pg"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { openPool } from "./helpers/harness.ts"
import { dropRoles, openLogin } from "./helpers/logins.ts"

const kinds = ["producer", "consumer", "reader", "admin"] as const
type Kind = (typeof kinds)[number]

const { url, name: database } = await databasePerFile()
const schema = `work_${database.slice(-8)}`
const owner = openPool(url, 4)
afterAll(async () => {
  await dropRoles(owner, kinds.map((kind) => `${schema}_${kind}`))
  await owner.end()
})
const installed = createClient(pgDriver(owner), { schema, listen: false, notify: false })
await installed.admin.install({ roles: true })
const open = async (kind: Kind, listen = false): Promise<Client<PoolClient>> =>
  (await openLogin(owner, url, `${kind}${listen ? "_listens" : ""}_${database.slice(-8)}`, { schema, of: [`${schema}_${kind}`], listen })).client
const as: Record<Kind, Client<PoolClient>> = { producer: await open("producer"), consumer: await open("consumer"), reader: await open("reader"), admin: await open("admin") }

interface Ready {
  readonly name: string
  readonly held: { readonly id: string; readonly lease: string }
  readonly waiting: string
}
/** A queue with a message in flight and others ready, made anew where it was dropped. */
async function ready(name: string, options: QueueOptions = {}): Promise<Ready> {
  await installed.admin.createQueue(name, options)
  await installed.admin.purge(name)
  await installed.register({ name: "steady", queues: [name] })
  const sent = await installed.queue(name).sendBatch([1, 2, 3].map((payload) => ({ payload })))
  return { name, held: (await installed.queue(name).read())!, waiting: sent[1]! }
}

/** Every call of the client that asks the database, and the role that it is for; an admin may all of them. */
const calls: { readonly [call: string]: readonly [Kind, (client: Client<PoolClient>, ready: Ready) => Promise<unknown>] } = {
  send: ["producer", (client, { name }) => client.queue(name).send(1)],
  sendBatch: ["producer", (client, { name }) => client.queue(name).sendBatch([{ payload: 1 }])],
  "send in a transaction": ["producer", (client, { name }) => client.transaction((tx) => client.queue(name).send(1, { tx }))],
  read: ["consumer", (client, { name }) => client.queue(name).read({ filter: { payload: 2 } })],
  readBatch: ["consumer", (client, { name }) => client.queue(name).readBatch({ limit: 2 })],
  readWithPoll: ["consumer", (client, { name }) => client.queue(name).readWithPoll({ wait: "10ms" })],
  pop: ["consumer", (client, { name }) => client.queue(name).pop()],
  popBatch: ["consumer", (client, { name }) => client.queue(name).popBatch({ limit: 2 })],
  delete: ["consumer", (client, { name, held }) => client.queue(name).delete(held)],
  archive: ["consumer", (client, { name, held }) => client.queue(name).archive(held)],
  deleteBatch: ["consumer", (client, { name, held }) => client.queue(name).deleteBatch([held])],
  archiveBatch: ["consumer", (client, { name, held }) => client.queue(name).archiveBatch([held])],
  release: ["consumer", (client, { name, held }) => client.queue(name).release(held)],
  retry: ["consumer", (client, { name, held }) => client.queue(name).retry(held, { error: "no" })],
  snooze: ["consumer", (client, { name, held }) => client.queue(name).snooze(held, "1m")],
  deadLetter: ["consumer", (client, { name, held }) => client.queue(name).deadLetter(held)],
  worker: ["consumer", (client, { name }) => client.worker([client.queue(name).handler(() => {})]).drain()],
  cancel: ["producer", (client, { name, waiting }) => client.queue(name).cancel(waiting)],
  setVt: ["consumer", (client, { name, held }) => client.queue(name).setVt(held, "1m")],
  extend: ["consumer", (client, { name, held }) => client.queue(name).extend(held, "1m")],
  maintenance: ["consumer", (client) => client.maintenance().run()],
  register: ["consumer", async (client, { name }) => {
    const registration = await client.register({ name: "reader", queues: [name] })
    await registration.beat()
    await registration.stop()
  }],
  once: ["consumer", (client) => client.transaction((tx) => client.once(tx, crypto.randomUUID(), () => 1))],
  metrics: ["reader", (client, { name }) => client.queue(name).metrics()],
  "admin.metricsAll": ["reader", (client) => client.admin.metricsAll()],
  "admin.getQueue": ["reader", (client, { name }) => client.admin.getQueue(name)],
  "admin.listQueues": ["reader", (client) => client.admin.listQueues()],
  "admin.queues.count": ["reader", (client) => client.admin.queues.count()],
  "admin.messages.get": ["reader", (client, { waiting }) => client.admin.messages.get(waiting)],
  "admin.messages.list": ["reader", (client, { name }) => client.admin.messages.list({ queue: name })],
  "admin.messages.count": ["reader", (client, { name }) => client.admin.messages.count({ queue: name })],
  "admin.archive.get": ["reader", (client, { waiting }) => client.admin.archive.get(waiting)],
  "admin.archive.list": ["reader", (client, { name }) => client.admin.archive.list({ queue: name })],
  "admin.archive.count": ["reader", (client, { name }) => client.admin.archive.count({ queue: name })],
  "admin.workers.count": ["reader", (client, { name }) => client.admin.workers.count({ queue: name })],
  "admin.workers.list": ["reader", (client) => client.admin.workers.list()],
  "admin.workers.get": ["reader", (client) => client.admin.workers.get("steady")],
  "admin.workers.health": ["reader", (client) => client.admin.workers.health()],
  "admin.workers.suspend": ["admin", (client) => client.admin.workers.suspend("steady")],
  "admin.workers.resume": ["admin", (client) => client.admin.workers.resume("steady")],
  "admin.workers.shutdown": ["admin", (client) => client.admin.workers.shutdown("steady")],
  "admin.workers.purge": ["admin", (client) => client.admin.workers.purge()],
  purge: ["admin", (client, { name }) => client.queue(name).purge()],
  "admin.createQueue": ["admin", (client, { name }) => client.admin.createQueue(`${name}.new`)],
  "admin.createQueue of its own storage": ["admin", (client, { name }) => client.admin.createQueue(`${name}.own`, { storage: "dedicated" })],
  "admin.createQueue of partitions": ["admin", (client, { name }) => client.admin.createQueue(`${name}.cut`, { partition: { by: "id", interval: 10, retention: 10, archive: true } })],
  "admin.updateQueue": ["admin", (client, { name }) => client.admin.updateQueue(name, { levels: 2, maxAttempts: 3 })],
  "admin.pauseQueue": ["admin", (client, { name }) => client.admin.pauseQueue(name)],
  "admin.resumeQueue": ["admin", (client, { name }) => client.admin.resumeQueue(name)],
  "admin.redrive": ["admin", (client, { name }) => client.admin.redrive(name)],
  "admin.dropQueue": ["admin", (client, { name }) => client.admin.dropQueue(name, { force: true })],
  "admin.messages.delete": ["admin", (client, { name, waiting }) => client.admin.messages.delete(name, waiting)],
  "admin.messages.archive": ["admin", (client, { name, waiting }) => client.admin.messages.archive(name, [waiting])],
  "admin.messages.setVt": ["admin", (client, { name, waiting }) => client.admin.messages.setVt(name, waiting, "1h")],
}

describe.each([
  ["shared", {}],
  ["dedicated", { storage: "dedicated" }],
  ["partitioned", { partition: { by: "time", interval: "1h", retention: "1d", archive: true } }],
] as const)("on a %s queue", (storage, options) => {
  test.each(kinds)("the %s role may do its work, and nothing else", async (kind) => {
    for (const [call, [of, run]] of Object.entries(calls)) {
      const asked = run(as[kind], await ready(`${storage}.${kind}`, options))
      if (of === kind || kind === "admin") await expect(asked.catch((error: unknown) => Promise.reject(new Error(`${kind}: ${call}`, { cause: error })))).resolves.not.toThrow()
      else expect(await errorOf(asked), `${kind}: ${call}`).toBeInstanceOf(PermissionDeniedError)
    }
  })
})

test("no role may install anew, set up roles or uninstall", async () => {
  for (const kind of kinds) {
    expect(await errorOf(as[kind].admin.install()), kind).toBeInstanceOf(PermissionDeniedError)
    expect(await errorOf(as[kind].admin.install({ roles: true })), kind).toBeInstanceOf(PermissionDeniedError)
    expect(await errorOf(as[kind].admin.uninstall({ confirm: schema })), kind).toBeInstanceOf(PermissionDeniedError)
    expect((await as[kind].admin.verify()).ok, kind).toBe(true)
  }
})

test("a refusal fails the caller's transaction as any error of the server does, and nothing of it is written", async () => {
  const { name } = await ready("refusal")
  const error = await errorOf(as.producer.transaction(async (tx) => {
    await as.producer.queue(name).send("lost", { tx })
    await as.producer.queue(name).read({ tx })
  }))
  expect(error).toBeInstanceOf(PermissionDeniedError)
  expect(await installed.admin.metrics(name)).toMatchObject({ total: 4, length: 3 })
})

test("a producer's send wakes a consumer that waits, by LISTEN and NOTIFY and from inside the transaction", async () => {
  const [producer, consumer] = [await open("producer", true), await open("consumer", true)]
  for (const notify of ["off", "transaction"] as const) {
    const { name } = await installed.admin.createQueue(`woken.${notify}`, { notify, ...(notify === "off" ? {} : { storage: "dedicated" }) })
    const waiting = consumer.queue(name).readWithPoll({ wait: "15s", interval: "10s" })
    await sleep(400)
    const started = performance.now()
    if (notify === "off") await producer.queue(name).send("wake up")
    else await as.producer.queue(name).send("wake up") // a client that notifies nobody by itself
    expect(await waiting).toMatchObject([{ payload: "wake up" }])
    expect(performance.now() - started).toBeLessThan(5_000)
  }
})

test("a consumer runs all of maintenance: a flip, partitions, retention, what dropped queues left", async () => {
  const { maintenance } = as.consumer
  await installed.admin.createQueue("busy", { storage: "dedicated" })
  const busy = as.admin.queue("busy")
  const ranges = { by: "id", interval: 10, retention: 0, archive: true } as const
  await installed.admin.createQueue("ranges", { partition: ranges })
  await as.producer.queue("ranges").sendBatch(Array.from({ length: 35 }, (_, payload) => ({ payload })))
  await as.consumer.queue("ranges").archiveBatch(await as.consumer.queue("ranges").readBatch({ limit: 35 }))
  let [truncated, made, dropped, archived] = [0, 0, 0, 0]
  for (let round = 0; round < 40 && (truncated === 0 || dropped === 0); round++) {
    await busy.sendBatch(Array.from({ length: 200 }, (_, payload) => ({ payload })))
    await busy.popBatch({ limit: 200 })
    await sleep(round < 5 ? 0 : 250) // the server counts dead rows about once a second
    const report = await maintenance({ flipAfter: 10, flipPause: 0 }).run()
    truncated += report.truncated
    made += report.partitionsMade
    dropped += report.partitionsDropped
    archived += report.archivedDropped
  }
  expect(truncated).toBeGreaterThan(0)
  expect(made).toBeGreaterThan(0)
  expect(dropped).toBeGreaterThan(0)
  expect(archived).toBe(30)
})
