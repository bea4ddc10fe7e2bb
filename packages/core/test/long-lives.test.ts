import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { Pool } from "pg"
import { expect, test } from "vitest"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { url, client, pool, freshQueue } = await harness()

test("a message that is retried for ever keeps its last 50 errors", async () => {
  const name = await freshQueue({ maxAttempts: null })
  const queue = client.queue(name)
  const id = await queue.send(1)
  for (let attempt = 1; attempt <= 60; attempt++) await queue.retry((await queue.read())!, { error: `failure ${attempt}` })
  const { errors } = (await client.admin.messages.get(id))!
  expect(errors).toHaveLength(50)
  expect([errors[0], errors.at(-1)]).toMatchObject([{ message: "failure 11", attempt: 11 }, { message: "failure 60", attempt: 60 }])
})

test("dropQueue works beside the counter of a dropped queue that another role made", async () => {
  await client.admin.dropQueue(await freshQueue())
  const name = await freshQueue()
  const role = `dropper_${Math.random().toString(36).slice(2)}`
  await pool.query(`create role ${role} login password 'secret'`)
  await pool.query(`grant usage on schema sluice to ${role}`)
  await pool.query(`grant all on all tables in schema sluice to ${role}`)
  await moveClock(pool, "10 minutes")
  const own = new Pool({ connectionString: Object.assign(new URL(url), { username: role, password: "secret" }).href, max: 1 })
  try {
    expect(await createClient(pgDriver(own), { listen: false }).admin.dropQueue(name)).toBe(true)
  } finally {
    await own.end()
    await pool.query(`drop owned by ${role}`)
    await pool.query(`drop role ${role}`)
  }
})
