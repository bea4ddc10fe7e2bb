import { setTimeout as sleep } from "node:timers/promises"
import { createClient, type Driver } from "@sluice/core"
import { expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"

/** A driver without a server: sends are answered at once, reads find nothing, and a NOTIFY takes `notifyTakes` ms. */
function fakeDriver(notifyTakes = 0): { driver: Driver; reads: () => number; most: () => number; told: () => number } {
  let [reads, out, most, told] = [0, 0, 0, 0]
  const query = async (text: string): Promise<never[]> => {
    if (text.includes("try_send")) return [{ id: "1" }] as never[]
    if (text.includes("installation_id")) return [{ id: "1" }] as never[]
    if (text.includes("try_read")) reads++
    if (text.includes("pg_notify")) {
      told++
      most = Math.max(most, ++out)
      await sleep(notifyTakes)
      out--
    }
    return []
  }
  const driver = { name: "fake", query, within: () => ({ query }), transaction: () => Promise.reject(new Error("none")) } as Driver
  return { driver, reads: () => reads, most: () => most, told: () => told }
}

test("a slow pool is given one NOTIFY of a queue at a time, and the last send is told", async () => {
  const { driver, most, told } = fakeDriver(200)
  const client = createClient(driver, { listen: false })
  for (let i = 0; i < 20; i++) {
    await client.queue("jobs").send(i)
    await sleep(15)
  }
  expect(most()).toBe(1)
  const before = told()
  await client.close()
  expect(told()).toBe(before + 1)
})

test("an interval longer than a timer can be is no interval of 1 ms", async () => {
  const { driver, reads } = fakeDriver()
  const polling = createClient(driver, { listen: false }).queue("jobs").readWithPoll({ wait: "60d", interval: "30d", signal: AbortSignal.timeout(100) })
  expect(await errorOf(polling)).toMatchObject({ code: "aborted" })
  expect(reads()).toBe(1)
})
