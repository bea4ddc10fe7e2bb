import pg from "pg"
import { expect, inject, test } from "vitest"
import { startPgBouncer } from "@sluice/testkit"
import { databasePerFile } from "@sluice/testkit/vitest"

const { url } = await databasePerFile()
const bouncer = await startPgBouncer({ serverUrl: url, poolSize: 1 })

test.skipIf(bouncer.url === null)("shares one server connection between clients, a transaction at a time", async () => {
  if (bouncer.url === null) return
  const clients = [1, 2].map(() => new pg.Client({ connectionString: bouncer.url }))
  const backends = new Set<number>()
  for (const client of clients) await client.connect()
  for (const client of clients) backends.add((await client.query("select pg_backend_pid() as pid")).rows[0].pid)
  expect(backends.size).toBe(1)

  const [first, second] = clients as [pg.Client, pg.Client]
  await first.query("begin")
  const waiting = second.query("select 'after' as moment")
  await first.query("select 1")
  await first.query("commit")
  expect((await waiting).rows).toEqual([{ moment: "after" }])
  for (const client of clients) await client.end()

  const other = new URL(bouncer.url)
  other.pathname = new URL(inject("serverUrl")).pathname
  const elsewhere = new pg.Client({ connectionString: other.href })
  await elsewhere.connect()
  await elsewhere.end()
  await bouncer.stop()
  const late = new pg.Client({ connectionString: bouncer.url })
  await expect(late.connect()).rejects.toMatchObject({ code: "ECONNREFUSED" })
})

test.skipIf(bouncer.url === null)("wants the password", async () => {
  const again = await startPgBouncer({ serverUrl: url })
  if (again.url === null) throw new Error(again.reason)
  const wrong = new URL(again.url)
  wrong.password = "wrong"
  await expect(new pg.Client({ connectionString: wrong.href }).connect()).rejects.toThrow("authentication failed")
  await again.stop()
})
