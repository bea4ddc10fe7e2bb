import { setTimeout as sleep } from "node:timers/promises"
import { expect, test } from "vitest"
import { repeat } from "../src/repeat.ts"

const forever = new AbortController().signal

test("counts what every lane handled, and calls no more often than it was told", async () => {
  const calls: number[] = []
  const { count } = await repeat({ calls: 50, lanes: 8, seconds: 10, stop: forever }, async (call) => {
    calls.push(call)
    await sleep(Math.random() * 3)
    return 2
  })
  expect(count).toBe(100)
  expect(calls).toEqual(Array.from({ length: 50 }, (_, call) => call))
})

test("ends when its time is over", async () => {
  const { count } = await repeat({ calls: 1e9, seconds: 0.02, stop: forever }, () => sleep(1, 1))
  expect(count).toBeLessThan(1000)
})

test("rejects when it is stopped, and with the first failure once all lanes have ended", async () => {
  await expect(repeat({ calls: 1, seconds: 1, stop: AbortSignal.abort(new Error("Stopped.")) }, async () => 1)).rejects.toThrow("Stopped.")
  let running = 0
  const failing = repeat({ calls: 4, lanes: 4, seconds: 1, stop: forever }, async (call) => {
    running++
    await sleep(call * 5)
    running--
    if (call === 1) throw new Error("No more.")
    return 1
  })
  await expect(failing).rejects.toThrow("No more.")
  expect(running).toBe(0)
})
