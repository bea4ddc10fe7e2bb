import { createServer, type Server } from "node:http"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import pg from "pg"
import { afterEach, beforeEach, describe, expect, inject, test, vi } from "vitest"
import { resolveServer } from "@sluice/testkit"

let lines: string[]
const log = (line: string): void => void lines.push(line)

beforeEach(() => {
  lines = []
  vi.stubEnv("DATABASE_URL", "")
  vi.stubEnv("SLUICE_TEST_DATABASE", "")
  vi.stubEnv("SLUICE_TEST_POSTGRES", "")
  vi.stubEnv("DOCKER_HOST", "tcp://127.0.0.1:1")
})
afterEach(() => vi.unstubAllEnvs())

/** An engine that answers a ping and can do nothing else, as one that cannot pull. */
async function startEngineWithoutImages(): Promise<Server> {
  const engine = createServer((request, response) => {
    response.statusCode = request.url === "/_ping" ? 200 : 500
    response.end(JSON.stringify({ message: "no such image" }))
  }).listen(0, "127.0.0.1")
  await once(engine, "listening")
  vi.stubEnv("DOCKER_HOST", `tcp://127.0.0.1:${(engine.address() as AddressInfo).port}`)
  return engine
}

describe("resolveServer", () => {
  test("takes DATABASE_URL first, and leaves it running", async () => {
    vi.stubEnv("DATABASE_URL", inject("serverUrl"))
    const server = await resolveServer({ log })
    expect(server).toMatchObject({ kind: "DATABASE_URL", url: inject("serverUrl"), version: inject("serverVersion") })
    await server.stop()
    await (await resolveServer({ log })).stop()
    expect(lines).toHaveLength(2)
  })

  test("says so when DATABASE_URL does not answer, and looks no further", async () => {
    vi.stubEnv("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
    await expect(resolveServer({ log })).rejects.toThrow("The server given by DATABASE_URL does not answer.")
  })

  test("falls to embedded without a word about Docker when no engine answers", async () => {
    const server = await resolveServer({ log })
    expect(server).toMatchObject({ kind: "embedded", version: expect.stringMatching(/^18\./) })
    expect(lines).toEqual([`[database] Postgres ${server.version}, embedded`])
    await server.stop()
  })

  test("starts a server as durable as asked, with the settings asked", async () => {
    const server = await resolveServer({ log, fsync: true, settings: { max_connections: 33 } })
    const client = new pg.Client({ connectionString: server.url })
    await client.connect()
    const settings = "select current_setting('fsync') as fsync, current_setting('full_page_writes') as pages, current_setting('max_connections') as connections"
    const { rows } = await client.query(settings)
    await client.end()
    await server.stop()
    expect(rows).toEqual([{ fsync: "on", pages: "on", connections: "33" }])
  })

  test("falls to embedded loudly when an engine answers but has no image", async () => {
    const engine = await startEngineWithoutImages()
    const server = await resolveServer({ log, version: 17 })
    expect(server).toMatchObject({ kind: "embedded", version: expect.stringMatching(/^17\./) })
    expect(lines[0]).toMatch(/Docker engine answers, but gives no postgres:17-alpine: .+ Taking embedded Postgres\.$/)
    expect(lines[0]).not.toContain("\n")
    await server.stop()
    engine.close()
  })

  test("never falls through when one is forced", async () => {
    vi.stubEnv("SLUICE_TEST_DATABASE", "docker")
    await expect(resolveServer({ log })).rejects.toThrow("no Docker engine answers")
    const engine = await startEngineWithoutImages()
    await expect(resolveServer({ log })).rejects.toThrow()
    engine.close()
    vi.stubEnv("SLUICE_TEST_DATABASE", "url")
    await expect(resolveServer({ log })).rejects.toThrow("needs DATABASE_URL")
    vi.stubEnv("SLUICE_TEST_DATABASE", "mysql")
    await expect(resolveServer({ log })).rejects.toThrow("not mysql")
    expect(lines).toEqual([])
  })

  test("takes the major from the environment", async () => {
    vi.stubEnv("SLUICE_TEST_DATABASE", "embedded")
    vi.stubEnv("SLUICE_TEST_POSTGRES", "15")
    const server = await resolveServer({ log })
    expect(server.version).toMatch(/^15\./)
    await server.stop()
    vi.stubEnv("SLUICE_TEST_POSTGRES", "9.6")
    await expect(resolveServer({ log })).rejects.toThrow("one of 15, 16, 17, 18, not 9.6")
  })
})
