import type { Message } from "@sluice/core"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { type Child, startChild } from "./helpers/child.ts"
import { flipState, makeFlipPay } from "./helpers/flip.ts"
import { harness } from "./helpers/harness.ts"

const { client, pool, url, freshQueue } = await harness()
const COUNT = 1200
// A move takes 500 messages; the one that finds no more makes the next begin again from the start, which finds none at all.
const STEPS = ["begun", "moved", "moved", "moved", "moved", "drained", "truncated"]

let child: Child | undefined
afterEach(() => child?.kill())
beforeEach(async () => {
  await pool.query("delete from sluice.message")
  await client.maintenance().run() // ends a flip that a test before left
})

/** A queue of messages that are ready, and some that were leased before the flip. */
async function prepare() {
  const queue = client.queue(await freshQueue())
  const ids = await queue.sendBatch(Array.from({ length: COUNT }, (_, payload) => ({ payload })))
  const held = await queue.readBatch({ limit: 20, lease: "1h" })
  await makeFlipPay(pool)
  return { queue, ids, held }
}

async function killAfter(steps: number, where: "inside" | "between"): Promise<void> {
  child = startChild("flip-child.ts", url, String(steps), where)
  const did: string[] = []
  while (did.length < steps) did.push(await child.next<string>())
  expect(did).toEqual(STEPS.slice(0, steps))
  await child.kill()
  const others = "select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"
  await expect.poll(async () => (await pool.query(others)).rowCount, { timeout: 10_000 }).toBe(0)
}

const idsOf = (messages: readonly Message[]): string[] => messages.map(({ id }) => id).sort()

describe("a process that flips, killed by SIGKILL", () => {
  const between = STEPS.map((_, i) => [`after step ${i + 1} (${STEPS[i]})`, i + 1, "between"] as const)
  const inside = STEPS.map((_, i) => [`inside step ${i + 1} (${STEPS[i]})`, i + 1, "inside"] as const)

  test.each([...between, ...inside])("%s, loses nothing, and the next one carries on", async (_, steps, where) => {
    const { queue, ids, held } = await prepare()
    await killAfter(steps, where)

    // With no maintainer: everything is there for readers, once, and those who held a lease still hold it.
    ids.push(await queue.send("later"))
    expect(await queue.archiveBatch(held.slice(10))).toMatchObject({ refused: [] })
    const read: Message[] = []
    for (let more = [...held]; more.length > 0; more = await queue.readBatch({ limit: 700, lease: "1h" })) read.push(...more)
    expect(idsOf(read)).toEqual(ids.toSorted())

    const { moved, truncated } = await client.maintenance({ flipAfter: 0, flipPause: "0s" }).run()
    expect(await flipState(pool)).toMatchObject({ visited: expect.any(Number), left: 0 })
    if (where === "inside" || steps < STEPS.length) expect(truncated).toBe(1)
    if (where === "inside" && steps === 1) expect(moved).toBe(ids.length - 10)
    const open = read.filter(({ id }) => !held.slice(10).some((settled) => settled.id === id))
    expect(await queue.deleteBatch(open)).toMatchObject({ refused: [] })
    expect(await queue.metrics()).toMatchObject({ length: 0 })
  })
})
