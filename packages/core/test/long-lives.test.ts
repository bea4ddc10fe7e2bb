import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { Pool } from "pg"
import { expect, test } from "vitest"
import { harness } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { url, client, pool, freshQueue } = await harness()

test("a message that is retried for ever keeps its last 50 errors", async () => {
  const name = await freshQueue({ maxAttempts: null, backoff: null })
  const queue = client.queue(name)
  const id = await queue.send(1)
  for (let attempt = 1; attempt <= 60; attempt++) await queue.retry((await queue.read())!, { error: `failure ${attempt}` })
  const { errors } = (await client.admin.messages.get(id))!
  expect(errors).toHaveLength(50)
  expect([errors[0], errors.at(-1)]).toMatchObject([{ message: "failure 11", attempt: 11 }, { message: "failure 60", attempt: 60 }])
})

test("a role that owns nothing drops a queue, and with it the counter of one that was dropped before", async () => {
  await client.admin.dropQueue(await freshQueue())
  const name = await freshQueue()
  const role = `dropper_${Math.random().toString(36).slice(2)}`
  await pool.query(`create role ${role} login password 'secret'`)
  await pool.query(`select sluice.set_role('admin', $1)`, [role])
  await moveClock(pool, "10 minutes")
  const own = new Pool({ connectionString: Object.assign(new URL(url), { username: role, password: "secret" }).href, max: 1 })
  try {
    const { id } = await client.admin.getQueue(name)
    expect(await createClient(pgDriver(own), { listen: false }).admin.dropQueue(name)).toBe(true)
    await moveClock(pool, "20 minutes")
    await client.admin.dropQueue(await freshQueue())
    expect((await pool.query("select to_regclass($1) as counter", [`sluice.sent_${id}`])).rows).toEqual([{ counter: null }])
  } finally {
    await own.end()
    await pool.query(`drop owned by ${role}`)
    await pool.query(`drop role ${role}`)
  }
})
