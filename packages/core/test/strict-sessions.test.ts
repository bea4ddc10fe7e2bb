import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { postgresJsDriver } from "@sluice/postgres-js"
import { databasePerFile } from "@sluice/testkit/vitest"
import { expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"

const { url } = await databasePerFile()
const strict = (level: string): string => `${url}?options=${encodeURIComponent(`-c default_transaction_isolation=${level}`)}`

test.each([
  ["pg", "serializable", () => pgDriver(strict("serializable"))],
  ["pg", "repeatable\\ read", () => pgDriver(strict("repeatable\\ read"))],
  ["postgres.js", "serializable", () => postgresJsDriver(url, { connection: { default_transaction_isolation: "serializable" } })],
])("over %s, connections whose default is %s install, read and pop outside a transaction", async (_library, _level, open) => {
  const client = createClient<never>(open() as never, { listen: false, notify: false })
  try {
    await client.admin.install()
    await client.admin.createQueue("dead")
    await client.admin.createQueue("jobs", { deadLetter: "dead" })
    const jobs = client.queue("jobs")
    await jobs.sendBatch([{ payload: 1 }, { payload: 2 }])
    const message = await jobs.read()
    expect(message?.payload).toBe(1)
    await jobs.delete(message!)
    expect((await jobs.pop())?.payload).toBe(2)
    expect(await jobs.readWithPoll({ wait: "20ms" })).toEqual([])

    const joined = client.transaction((tx) => jobs.read({ tx }))
    expect(await errorOf(joined)).toMatchObject({ code: "isolation_level" })
  } finally {
    await client.admin.uninstall({ confirm: "sluice" })
    await client.close()
  }
})
