import { type Message, StaleLeaseError } from "@sluice/core"
import { afterEach, describe, expect, test } from "vitest"
import { type Child, startChild } from "./helpers/child.ts"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"

const { client, url, freshQueue } = await harness()
const { admin } = client

const children: Child[] = []
afterEach(() => Promise.all(children.splice(0).map((child) => child.kill())))

const start = (name: string): Child => {
  const child = startChild("kill-self-child.ts", url, name)
  children.push(child)
  return child
}

/** What a process says before it is gone, by its own hand. */
async function lastWords(name: string): Promise<unknown[]> {
  const child = start(name)
  const said: unknown[] = []
  for (;;) {
    const one = await child.next().catch(() => undefined)
    if (one === undefined) break
    said.push(one)
  }
  expect(await child.ended).toBeNull() // a signal
  return said
}

describe.each(["a dead-letter queue", "the archive"])("a message whose handler kills its process every time ends in %s", (place) => {
  test("after its attempts, and is delivered to nobody again", async () => {
    const dead = place === "the archive" ? null : await freshQueue()
    const name = await freshQueue({ lease: "600ms", maxAttempts: 3, deadLetter: dead })
    const queue = client.queue(name)
    const id = await queue.send({ poison: true })
    const said: unknown[] = []
    for (let process = 1; process <= 3; process++) said.push(...(await lastWords(name)))
    expect(said).toEqual([1, 2, 3].map((attempt) => ({ attempt, poison: true })))

    const healthy = start(name)
    const stored = async () => (dead === null ? admin.archive.get(id) : (await admin.messages.get(id))?.queue === dead ? admin.messages.get(id) : null)
    await expect.poll(stored, { timeout: 20_000 }).toMatchObject({ payload: { poison: true } })
    expect(await stored()).toMatchObject(dead === null ? { queue: name, outcome: "dead", attempt: 3 } : { origin: name, state: "visible", attempt: 0 })
    // The fourth process has lived on, and does its work.
    await queue.send({ fine: true })
    expect(await healthy.next()).toEqual({ attempt: 1, fine: true })
    await expect.poll(() => admin.messages.count({ queue: name })).toBe(0)
    expect(await queue.read()).toBeNull()
  }, 60_000)
})

test("the errors that it left before are kept, and what it was killed under is stale for good, also after a redrive", async () => {
  const dead = await freshQueue()
  const name = await freshQueue({ lease: "600ms", maxAttempts: 3, backoff: null, deadLetter: dead })
  const queue = client.queue(name)
  const id = await queue.send({ failFirst: true })
  expect(await lastWords(name)).toEqual([1, 2].map((attempt) => ({ attempt, failFirst: true })))
  // The last attempt is a reader's, who says nothing either.
  let held: Message | null = null
  await expect.poll(async () => (held = await queue.read({ lease: "100ms" })), { timeout: 20_000 }).toMatchObject({ id, attempt: 3 })
  expect(await admin.messages.get(id)).toMatchObject({ queue: name })
  await expect.poll(async () => ((await queue.read()) === null ? (await admin.messages.get(id))!.queue : "delivered"), { timeout: 20_000 }).toBe(dead)
  const errors = [{ name: "Error", message: "a warning", attempt: 1, worker: expect.stringMatching(/^worker-\d+-/) }]
  expect(await admin.messages.get(id)).toMatchObject({ errors })
  expect(await admin.redrive(name)).toMatchObject([{ id, source: "deadLetter", errors }])
  const again = (await queue.read({ lease: "1h" }))!
  expect(again).toMatchObject({ id, attempt: 1 })
  expect(await errorOf(queue.delete(held!))).toBeInstanceOf(StaleLeaseError)
  await queue.delete(again)
}, 60_000)
