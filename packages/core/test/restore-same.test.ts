import { createClient, RestoredElsewhereError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { afterAll, expect, test } from "vitest"
import { Client } from "pg"
import { errorOf } from "./helpers/error-of.ts"
import { harness, openPool } from "./helpers/harness.ts"
import { dropRoles, openLogin } from "./helpers/logins.ts"
import { sqlOn } from "./helpers/sql-on.ts"

const { client, pool, url } = await harness()
const { value } = sqlOn(pool)

/** As if the data had come from another cluster: the ids are the same, but nobody knows. */
const pretend = () => pool.query("update sluice.installation set cluster = '1'")

async function rest(on: Pick<typeof client, "stream">, stream: string, name: string): Promise<string[]> {
  const ids: string[] = []
  for (let batch; (batch = await on.stream(stream).subscription(name, { owner: "rest" }).nextBatch({ maxEvents: 100_000, chunk: 10_000 })) !== null; await batch.finish()) {
    ids.push(...(await batch.list()).map(({ id }) => id))
  }
  return ids
}

test("a running subscriber tells of it, and goes on after the repair by itself", async () => {
  await client.admin.createStream("running")
  await client.admin.createSubscription("running", "a")
  const got: string[] = []
  const told: unknown[] = []
  const subscriber = client.subscriber("running", "a", (event) => void got.push(event.id), { maintenance: false, pollInterval: "10ms" })
  subscriber.on("error", ({ error }) => told.push(error))
  await subscriber.start()
  await pretend()
  await expect.poll(() => told.length, { timeout: 15_000 }).toBeGreaterThan(0)
  expect(told.every((error) => error instanceof RestoredElsewhereError)).toBe(true)
  await client.admin.afterRestore()
  const id = await client.stream("running").publish("made", 1)
  await expect.poll(() => got, { timeout: 15_000 }).toEqual([id])
  await subscriber.stop()
})

test("{ sameHistory } changes the cluster and nothing else: open batches go on", async () => {
  await client.admin.createStream("kept")
  await client.admin.createSubscription("kept", "a")
  const stream = client.stream("kept")
  await stream.publish("made", 1)
  const batch = (await stream.subscription("a").nextBatch())!
  await pretend()
  expect(await errorOf(batch.finish())).toBeInstanceOf(RestoredElsewhereError)
  expect(await client.admin.afterRestore({ sameHistory: true })).toEqual({ streams: 0, events: 0 })
  await batch.finish()
  expect(await rest(client, "kept", "a")).toEqual([])
})

test("an expired subscription gets nothing by the repair, and everything once where it goes on from the earliest", async () => {
  await client.admin.createStream("expired")
  await client.admin.createSubscription("expired", "a")
  const id = await client.stream("expired").publish("made", 1)
  await pool.query("update sluice.subscription set expired_at = now() where stream = (select id from sluice.queue where name = 'expired')")
  await pretend()
  await client.admin.afterRestore()
  await client.admin.reposition("expired", "a", { to: "earliest" })
  expect(await rest(client, "expired", "a")).toEqual([id])
})

test("only an admin repairs", async () => {
  await pretend()
  const roles = ["producer", "consumer", "reader", "admin"].map((kind) => ({ kind, role: `restore_${kind}` }))
  afterAll(() => dropRoles(pool, roles.map(({ role }) => role)))
  for (const { kind, role } of roles) {
    await pool.query("select sluice.set_role($1, $2)", [kind, role])
    const login = await openLogin(pool, url, `${role}_login`, { schema: "sluice", of: [role] })
    if (kind === "admin") expect(await login.client.admin.afterRestore()).toMatchObject({ streams: expect.any(Number) })
    else expect(await errorOf(login.client.admin.afterRestore())).toMatchObject({ code: "permission_denied" })
  }
})

test("another database of the same cluster is no other cluster: a copy goes on where the template was, events that commit late too", async () => {
  await client.admin.createStream("copied")
  await client.admin.createSubscription("copied", "a", { from: "latest" })
  const stream = client.stream("copied")
  const ids = await stream.publishBatch([{ type: "made", data: 1 }, { type: "made", data: 2 }, { type: "made", data: 3 }])
  await (await stream.subscription("a", { owner: "x" }).nextBatch({ maxEvents: 1 }))!.finish()
  await stream.subscription("a", { owner: "rest" }).nextBatch({ maxEvents: 1 })
  const name = new URL(url).pathname.slice(1)
  const copy = `${name}_copy`
  const admin = new Client({ connectionString: url.replace(`/${name}`, "/postgres") })
  await admin.connect()
  await pool.query("select 1")
  await admin.query(`alter database "${name}" allow_connections false`)
  await admin.query("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1", [name])
  await admin.query(`create database "${copy}" template "${name}"`)
  await admin.query(`alter database "${name}" allow_connections true`)
  const copied = openPool(url.replace(`/${name}`, `/${copy}`))
  const other = createClient(pgDriver(copied), { listen: false, notify: false })
  expect(await rest(other, "copied", "a")).toEqual(ids.slice(1))
  const late = await other.stream("copied").publish("made", 4)
  expect(await rest(other, "copied", "a")).toEqual([late])
  expect(await other.admin.afterRestore()).toEqual({ streams: 0, events: 0 })
  await copied.end()
  await admin.query(`drop database "${copy}"`)
  await admin.end()
  expect(await rest(client, "copied", "a")).toEqual(ids.slice(1))
})

test("100,000 events of which most wait in slices come back once each", async () => {
  await client.admin.createStream("large")
  for (const name of ["a", "b"]) await client.admin.createSubscription("large", name, { backoff: null })
  await pool.query("select count(*) from (select jsonb_agg(jsonb_build_object('type', 'made', 'data', n)) as events from generate_series(1, 100000) n) m, sluice.try_publish('large', m.events)")
  const first = (await client.stream("large").subscription("a", { owner: "x" }).nextBatch({ maxEvents: 500 }))!
  await first.finish()
  await pretend()
  expect((await client.admin.afterRestore()).events).toBe(199_500)
  const ids = await rest(client, "large", "a")
  expect(new Set(ids).size).toBe(99_500)
  expect(ids).toHaveLength(99_500)
  expect(await value("select count(*)::int from sluice.slice")).toBe(0)
}, 60_000)
