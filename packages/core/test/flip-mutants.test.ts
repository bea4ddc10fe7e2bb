import { afterEach, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { flipDuring, flipUntil, leaveStray, makeFlipPay } from "./helpers/flip.ts"
import { harness } from "./helpers/harness.ts"

// What flip-beside.test.ts shows would show nothing if it held without the lines that are for it.
const { client, pool, freshQueue } = await harness()

const restored: string[] = []
afterEach(async () => {
  for (const text of restored.splice(0)) await pool.query(text)
})

async function mutate(name: string, from: RegExp, to: string): Promise<void> {
  const { rows } = await pool.query<{ text: string }>("select pg_get_functiondef(oid) as text from pg_proc where pronamespace = 'sluice'::regnamespace and proname = $1", [name])
  const text = rows[0]!.text
  expect(text, `${name} has changed, and is not broken by this any more`).toMatch(from)
  restored.push(text)
  await pool.query(text.replace(from, to))
}

test("without a second look, a settle during a flip is told that its lease is stale", async () => {
  await mutate("try_delete", /for v_pass in 1 \.\. 2 loop/, "for v_pass in 1 .. 1 loop")
  const queue = client.queue(await freshQueue())
  await queue.send("x")
  const message = (await queue.read())!
  await makeFlipPay(pool)
  expect(await errorOf(flipDuring(pool, () => queue.delete(message)))).toMatchObject({ code: "stale_lease" })
  await flipUntil(pool, "truncated")
  await queue.delete(message)
})

test("without a look under the lock, a message in the segment that is truncated is lost", async () => {
  await mutate("flip_truncate", /if v_left then\s+perform set_segments\(s, s\.current, '\{0,1\}'\);\s+return '\{"did": "reopened"\}';\s+elsif not v_locked/, "if not v_locked")
  const queue = client.queue(await freshQueue())
  await makeFlipPay(pool)
  await flipUntil(pool, "drained")
  await leaveStray(pool)
  expect(await flipUntil(pool, "truncated")).toEqual(["truncated"])
  expect(await queue.read()).toBeNull()
  expect(await queue.metrics()).toMatchObject({ length: 0 })
})

test("without a look at who is writing, readers leave a segment to which a message is still to come", async () => {
  await mutate("flip_move", /if v_left or clock\(\)[^]*?then\s/, "if v_left then\n")
  const queue = client.queue(await freshQueue())
  await makeFlipPay(pool)
  await client.transaction(async (tx) => {
    await queue.send("late", { tx })
    expect((await flipUntil(pool, "drained")).at(-1)).toBe("drained")
  })
  await client.maintenance().run() // finds it; only until then nobody would
  expect(await queue.read()).toMatchObject({ payload: "late" })
})
