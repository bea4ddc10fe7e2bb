import type { Driver } from "@sluice/core"
import { expect, test } from "vitest"
import { ask, kill, until } from "./server.ts"

const channel = 'Sluice "ü" $1'
const listeners = `select pid from pg_stat_activity where datname = current_database() and query ilike 'listen "Sluice%' and pid <> pg_backend_pid()`
const pids = async (): Promise<number[]> => (await ask(listeners)).map((row) => row.pid)

/** The connection is closed on this side; that its process is gone shows on the server a little later. */
async function gone(): Promise<void> {
  await until(async () => (await pids()).length === 0)
  expect(await pids()).toEqual([])
}

/** `open(url)` makes a listening driver; with no `url` on the server of the tests. */
export function describeListening(open: () => Driver<any>, unreachable: () => Driver<any>): void {
  const subscribe = async () => {
    const heard: string[] = []
    const ready = { count: 0 }
    const unlisten = await open().listen!(
      channel,
      (payload) => heard.push(payload),
      () => ready.count++,
    )
    return { heard, ready, unlisten }
  }
  const notify = (payload: string) => ask("select pg_notify($1, $2)", [channel, payload])

  test("hears what is notified, until it is told to stop", async () => {
    const { heard, ready, unlisten } = await subscribe()
    expect(ready.count).toBe(1)
    expect(await pids()).toHaveLength(1)
    await notify("one")
    await notify("")
    await until(() => heard.length === 2)
    expect(heard).toEqual(["one", ""])
    await unlisten()
    await unlisten()
    await gone()
    await notify("two")
    expect(heard).toHaveLength(2)
  })

  test("comes back when its connection is killed, again and again", async () => {
    const { heard, ready, unlisten } = await subscribe()
    for (let round = 2; round < 4; round++) {
      for (const pid of await pids()) await kill(pid)
      await until(() => ready.count === round)
      expect(ready.count).toBe(round)
      await notify(`round ${round}`)
      await until(() => heard.length === round - 1)
    }
    expect(heard).toEqual(["round 2", "round 3"])
    await unlisten()
    await gone()
  })

  test("stops while it reconnects", async () => {
    const { ready, unlisten } = await subscribe()
    for (const pid of await pids()) await kill(pid)
    await unlisten()
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(ready.count).toBe(1)
    expect(await pids()).toEqual([])
  })

  test("rejects when the first attempt fails", async () => {
    let called = false
    const attempt = unreachable().listen!(
      channel,
      () => {},
      () => (called = true),
    )
    await expect(attempt).rejects.toThrow()
    expect(called).toBe(false)
  })
}
