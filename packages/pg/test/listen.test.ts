import { connect, createServer, type AddressInfo, type Socket } from "node:net"
import { Client } from "pg"
import { expect, test } from "vitest"
import { listen } from "../src/listen.ts"
import { ask, until, url } from "./shared/server.ts"

const timing = { probeEvery: 50, probeLimit: 100, closeLimit: 100, firstBackoff: 10, longestBackoff: 50 }

/** A way to the server that can go silent without closing anything, or refuse. */
async function startProxy() {
  const target = new URL(url)
  const pairs: Socket[][] = []
  const proxy = { refuse: false, silence: () => pairs.flat().forEach((socket) => (socket.unpipe(), socket.pause())) }
  const server = createServer((near) => {
    if (proxy.refuse) return void near.destroy()
    const far = connect(Number(target.port || 5432), target.hostname)
    pairs.push([near, far])
    near.pipe(far).pipe(near)
    for (const socket of [near, far]) socket.on("error", () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const through = new URL(url)
  through.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const close = () => (pairs.flat().forEach((socket) => socket.destroy()), server.close())
  return Object.assign(proxy, { close, url: through.href, count: () => pairs.length })
}

const handles = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length

test("a connection that goes silent is noticed and replaced", async () => {
  const proxy = await startProxy()
  const heard: string[] = []
  let ready = 0
  const unlisten = await listen(
    () => new Client(proxy.url),
    "silent",
    (payload) => heard.push(payload),
    () => ready++,
    timing,
  )
  proxy.silence()
  await until(() => ready === 2)
  expect(ready).toBe(2)
  await ask("select pg_notify('silent', 'again')")
  await until(() => heard.length === 1)
  expect(heard).toEqual(["again"])
  proxy.silence()
  await unlisten()
  proxy.close()
})

test("a server that is away for long is tried again without end, and unlisten stops that", async () => {
  const proxy = await startProxy()
  const warnings: unknown[] = []
  process.on("warning", (warning) => warnings.push(warning))
  let ready = 0
  let attempts = 0
  const makeClient = () => (attempts++, new Client(proxy.url))
  const unlisten = await listen(
    makeClient,
    "away",
    () => {},
    () => ready++,
    timing,
  )
  proxy.refuse = true
  proxy.silence()
  await until(() => attempts > 20)
  proxy.refuse = false
  await until(() => ready === 2)
  expect(ready).toBe(2)
  proxy.refuse = true
  proxy.silence()
  await until(() => attempts > 24)
  const before = handles()
  await unlisten()
  const stopped = attempts
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(attempts).toBe(stopped)
  expect(handles()).toBeLessThanOrEqual(before)
  expect(warnings).toEqual([])
  proxy.close()
})
