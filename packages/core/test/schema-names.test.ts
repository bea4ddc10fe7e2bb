import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { expect, test } from "vitest"
import { harness } from "./helpers/harness.ts"

const { pool } = await harness()

test.each(["q", "m", "_", "message", "queue", "function", "MixedCase", "user"])(
  'a schema named "%s", as an alias, a table or a keyword is, works and is verified',
  async (schema) => {
    const client = createClient(pgDriver(pool), { schema, listen: false })
    await client.admin.install()
    await client.admin.createQueue("jobs")
    const jobs = client.queue("jobs")
    await jobs.send(1)
    await jobs.archive((await jobs.read())!)
    expect(await client.admin.verify()).toEqual({ ok: true, differences: [] })
    expect(await client.admin.uninstall({ confirm: schema })).toBe(true)
  },
)
