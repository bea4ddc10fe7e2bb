import { type Client, createClient, PermissionDeniedError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { databasePerFile } from "@sluice/testkit/vitest"
import type { PoolClient } from "pg"
import { afterAll, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { openPool } from "./helpers/harness.ts"
import { dropRoles, openLogin } from "./helpers/logins.ts"
import { freshStream } from "./helpers/recorded.ts"

const kinds = ["producer", "consumer", "reader", "admin"] as const
type Kind = (typeof kinds)[number]

const { url, name: database } = await databasePerFile()
const schema = `flow_${database.slice(-8)}`
const owner = openPool(url, 4)
afterAll(async () => {
  await dropRoles(owner, kinds.map((kind) => `${schema}_${kind}`))
  await owner.end()
})
const installed = createClient(pgDriver(owner), { schema, listen: false, notify: false })
await installed.admin.install({ roles: true })
const open = async (kind: Kind): Promise<Client<PoolClient>> => (await openLogin(owner, url, `flow_${kind}_${database.slice(-8)}`, { schema, of: [`${schema}_${kind}`] })).client
const as: Record<Kind, Client<PoolClient>> = { producer: await open("producer"), consumer: await open("consumer"), reader: await open("reader"), admin: await open("admin") }

/** Every call of streams, and the role that it is for; an admin may all of them. */
const calls: { readonly [call: string]: readonly [Kind, (client: Client<PoolClient>, name: string) => Promise<unknown>] } = {
  publish: ["producer", (client, name) => client.stream(name).publish("a", 1)],
  publishBatch: ["producer", (client, name) => client.stream(name).publishBatch([{ type: "a", data: 1 }])],
  "publish in a transaction": ["producer", (client, name) => client.transaction((tx) => client.stream(name).publish("a", 1, { tx }))],
  "nextBatch, retry and finish": ["consumer", async (client, name) => {
    const batch = (await client.stream(name).subscription("test").nextBatch({ maxEvents: 1 }))!
    await batch.renew()
    batch.retry((await batch.list())[0]!)
    await batch.finish()
  }],
  "finish in a transaction": ["consumer", async (client, name) => {
    const batch = (await client.stream(name).subscription("test").nextBatch({ maxEvents: 1 }))!
    await client.transaction((tx) => batch.finish({ tx }))
  }],
  "nextBatch and release": ["consumer", async (client, name) => (await client.stream(name).subscription("test").nextBatch())!.release()],
  subscriber: ["consumer", (client, name) => client.subscriber(name, "test", () => {}).drain()],
  "subscriber with transactions": ["consumer", (client, name) => client.subscriber(name, "test", () => {}, { transactional: true }).drain()],
  maintenance: ["consumer", (client) => client.maintenance().run()],
  getStream: ["reader", (client, name) => client.admin.getStream(name)],
  getStreamInfo: ["reader", (client, name) => client.admin.getStreamInfo(name)],
  listStreams: ["reader", (client) => client.admin.listStreams()],
  listSubscriptions: ["reader", (client, name) => client.admin.listSubscriptions(name)],
  getSubscriptionInfo: ["reader", (client, name) => client.admin.getSubscriptionInfo(name, "test")],
  deadEvents: ["reader", (client, name) => client.admin.deadEvents(name, "test")],
  createStream: ["admin", (client, name) => client.admin.createStream(`${name}.new`)],
  updateStream: ["admin", (client, name) => client.admin.updateStream(name, { tickerMaxCount: 7 })],
  createSubscription: ["admin", (client, name) => client.admin.createSubscription(name, "another")],
  updateSubscription: ["admin", (client, name) => client.admin.updateSubscription(name, "test", { lease: "1m" })],
  reposition: ["admin", (client, name) => client.admin.reposition(name, "test", { to: "earliest" })],
  redriveEvents: ["admin", (client, name) => client.admin.redriveEvents(name, "test")],
  dropSubscription: ["admin", (client, name) => client.admin.dropSubscription(name, "another")],
  afterRestore: ["admin", (client) => client.admin.afterRestore()],
  dropStream: ["admin", (client, name) => client.admin.dropStream(name, { force: true })],
}

test.each(kinds)("the %s role may do its work with streams, and nothing else", async (kind) => {
  for (const [call, [of, run]] of Object.entries(calls)) {
    const { name } = await freshStream(installed)
    await installed.stream(name).publishBatch([{ type: "a", data: 1 }, { type: "b", data: 2 }])
    if (of === kind || kind === "admin") await run(as[kind], name)
    else expect(await errorOf(run(as[kind], name)), call).toBeInstanceOf(PermissionDeniedError)
  }
})

test("a stream that an admin made is everybody's as the owner's is, its tables are nobody's", async () => {
  const { id } = await as.admin.admin.createStream("theirs")
  await as.admin.admin.createSubscription("theirs", "test")
  await as.producer.stream("theirs").publish("a", 1)
  await as.consumer.subscriber("theirs", "test", () => {}).drain()
  for (const { admin: _, ...client } of [as.admin, as.producer, as.consumer, as.reader]) {
    for (const table of [`event_s${id}`, `event_s${id}_0`, "stream", "batch"]) {
      expect(await errorOf(client.transaction((tx) => tx.query(`select from ${schema}.${table}`)))).toMatchObject({ code: "42501" })
    }
  }
  expect(await installed.admin.dropStream("theirs", { force: true })).toBe(true)
})
