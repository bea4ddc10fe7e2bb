import { expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"

const { client, pool, freshQueue } = await harness()
const infinite = Number((await pool.query("select current_setting('server_version_num') as n")).rows[0].n) >= 170000

async function leased(): Promise<{ name: string; id: string; lease: string }> {
  const name = await freshQueue()
  await client.queue(name).send("held")
  return { name, ...(await client.queue(name).read({ lease: "1h" }))! }
}

test.each([
  ["read", "limit", "read($1, null)"],
  ["read", "limit", "read($1, -1)"],
  ["pop", "limit", "pop($1, null)"],
  ["send", "headers", "send($1, '1', headers => '[1]')"],
  ["send", "headers", "send($1, '1', headers => 'null')"],
  ["send", "at", "send($1, '1', at => 'infinity')"],
  ["send_batch", "at", "send_batch($1, array['1'::jsonb], at => 'infinity')"],
  ["set_vt", "delay", "set_vt($1, $2, $3, null)"],
  ["extend", "by", "extend($1, $2, $3, null)"],
  ...["read", "pop"].flatMap((way) => ["{}", "[]", "null", '"x"', '{"header": {}}', '{"headers": []}', '{"headers": null}', '{"headers": {}, "limit": 1}'].map((filter) => [way, "filter", `${way}($1, filter => '${filter}')`])),
  ["snooze", "delay", "snooze($1, $2, $3, null)"],
  ["redrive", "limit", "redrive($1, null)"],
  ["redrive", "limit", "redrive($1, -1)"],
  ...["{}", "[]", '"x"', '{"headers": []}', '{"ids": ["1"]}'].map((filter) => ["redrive", "filter", `redrive($1, filter => '${filter}')`]),
  ["admin_set_vt", "delay", "admin_set_vt($1, $2, null)"],
  ...['"1s"', "5", "[]", "{}", '{"kind": "cubic", "base": "1s"}', '{"kind": "fixed"}', '{"kind": "fixed", "base": 5}', '{"kind": "fixed", "base": "soon"}', '{"kind": "fixed", "base": "-1s"}',
    '{"kind": "fixed", "base": "1s", "max": "0.5s"}', '{"kind": "fixed", "base": "1s", "jitter": 2}', '{"kind": "fixed", "base": "1s", "jitter": "0"}', '{"kind": "fixed", "base": "1s", "mx": "1s"}'].flatMap((backoff) =>
    [`update_queue($1, '{"backoff": ${backoff}}')`, `create_queue($1, '{"backoff": ${backoff}}')`].map((call) => [call.split("(")[0]!, "backoff", call])),
  ...["done", "onInvalid"].flatMap((option) => ['"keep"', "5", "[]"].map((wrong) => ["update_queue", option, `update_queue($1, '{"${option}": ${wrong}}')`])),
  ["create_queue", "maxAttempt", `create_queue($1, '{"maxAttempt": 5}')`],
  ["create_queue", "options", "create_queue($1, null)"],
  ["update_queue", "level", `update_queue($1, '{"level": 5}')`],
  ["update_queue", "options", "update_queue($1, '[]')"],
  ...(infinite
    ? [
        ["read", "lease", "read($1, 1, 'infinity')"],
        ["send", "delay", "send($1, '1', delay => 'infinity')"],
        ["set_vt", "delay", "set_vt($1, $2, $3, 'infinity')"],
        ["extend", "by", "extend($1, $2, $3, 'infinity')"],
        ["admin_set_vt", "delay", "admin_set_vt($1, $2, 'infinity')"],
        ["retry", "delay", "retry($1, $2, $3, 'infinity')"],
        ["snooze", "delay", "snooze($1, $2, $3, 'infinity')"],
        ["update_queue", "backoff", `update_queue($1, '{"backoff": {"kind": "fixed", "base": "infinity"}}')`],
      ]
    : []),
])("%s refuses what cannot be meant by %s: %s", async (_, argument, call) => {
  const { name, id, lease } = await leased()
  await client.queue(name).send("waits")
  const values = [name, id, lease].slice(0, Number(/\$(\d)(?!.*\$)/.exec(call!)![1]))
  const error = await errorOf<Error & { code: string; detail: string }>(pool.query(`select sluice.${call}`, values))
  expect(error.code).toBe("22023")
  expect(JSON.parse(error.detail)).toMatchObject({ code: "invalid_argument", argument })
  expect(await client.admin.metrics(name)).toMatchObject({ length: 2, visible: 1, inFlight: 1 })
})

test("drop_queue takes null for false", async () => {
  const { name } = await leased()
  expect(await errorOf(pool.query("select sluice.drop_queue($1, null, null)", [name]))).toMatchObject({ code: "SL009" })
})

test("retry keeps an error whatever JSON it is", async () => {
  const { name, id, lease } = await leased()
  await pool.query("select sluice.retry($1, $2, $3, error => $4)", [name, id, lease, JSON.stringify("boom")])
  expect((await client.admin.messages.get(id))!.errors).toMatchObject([{ name: "Error", message: "boom", attempt: 1 }])
})

test("retry without an error keeps none", async () => {
  const { name, id, lease } = await leased()
  await pool.query("select sluice.retry($1, $2, $3)", [name, id, lease])
  expect((await client.admin.messages.get(id))!.errors).toEqual([])
})

test.each([
  ['"boom"', "boom"],
  ["5", "5"],
  ["[1]", "[1]"],
  ['{"name": "E", "message": "m"}', "m"],
])("dead_letter keeps the error %s", async (error, message) => {
  const { name, id, lease } = await leased()
  await pool.query("select sluice.dead_letter($1, $2, $3, $4)", [name, id, lease, error])
  expect((await client.admin.archive.get(id))!).toMatchObject({ outcome: "dead", errors: [{ message, attempt: 1 }] })
})

test.each(["null::jsonb", "'null'::jsonb"])("dead_letter without an error keeps none: %s", async (error) => {
  const { name, id, lease } = await leased()
  await pool.query(`select sluice.dead_letter($1, $2, $3, ${error})`, [name, id, lease])
  expect((await client.admin.archive.get(id))!.errors).toEqual([])
})

test("an option that is null is the stored one, but for backoff, which is none then", async () => {
  const { name } = await leased()
  await pool.query("select sluice.update_queue($1, '{\"done\": null, \"onInvalid\": null, \"backoff\": null}')", [name])
  expect(await client.admin.getQueue(name)).toMatchObject({ done: "delete", onInvalid: "deadLetter", backoff: null })
})

test("redrive of none brings none", async () => {
  const { name, id, lease } = await leased()
  await pool.query("select sluice.dead_letter($1, $2, $3)", [name, id, lease])
  expect((await pool.query("select sluice.redrive($1, 0) as n", [name])).rows).toEqual([{ n: 0 }])
  expect(await client.admin.archive.count({ queue: name })).toBe(1)
})
