import { setTimeout as sleep } from "node:timers/promises"
import { existsSync } from "node:fs"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import pg from "pg"
import { describe, expect, test } from "vitest"
import { embeddedVersions, startEmbedded } from "@sluice/testkit"

async function query(url: string, ...statements: string[]): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  client.on("error", () => {})
  await client.connect()
  try {
    let rows: Record<string, unknown>[] = []
    for (const statement of statements) rows = (await client.query(statement)).rows
    return rows
  } finally {
    await client.end()
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !condition(); await sleep(20)) {
    if (Date.now() > deadline) throw new Error("waited 10 s")
  }
}

describe("startEmbedded", () => {
  test.each(embeddedVersions)("starts Postgres %i with our settings and stops without a trace", async (version) => {
    const server = await startEmbedded({ version, settings: { track_commit_timestamp: "on", work_mem: "7MB" } })
    const [row] = await query(
      server.url,
      `select current_setting('server_version_num')::int / 10000 as major, current_setting('TimeZone') as zone,
        current_setting('fsync') as fsync, current_setting('max_connections') as connections,
        current_setting('work_mem') as memory, current_setting('track_commit_timestamp') as track,
        current_setting('server_encoding') as encoding, current_setting('listen_addresses') as addresses`,
    )
    expect(row).toEqual({
      major: version, zone: "UTC", fsync: "off", connections: "200", memory: "7MB", track: "on", encoding: "UTF8",
      addresses: "127.0.0.1",
    })
    await server.stop()
    await server.stop()
    expect(isRunning(server.pid)).toBe(false)
    expect(existsSync(dirname(server.dataFolder))).toBe(false)
  })

  test("lets nobody in without the password", async () => {
    const server = await startEmbedded()
    const url = new URL(server.url)
    url.password = "wrong"
    await expect(query(url.href, "select 1")).rejects.toMatchObject({ code: "28P01" })
    await server.stop()
  })

  test("keeps what was committed before a crash, and only that", async () => {
    const server = await startEmbedded({ fsync: true })
    const pid = server.pid
    await query(server.url, "create table t (n int)", "insert into t values (1)")
    const open = new pg.Client({ connectionString: server.url }).on("error", () => {})
    const lost = new Promise((resolve) => open.once("end", resolve))
    await open.connect()
    await open.query("begin")
    await open.query("insert into t values (2)")
    await server.stopImmediate()
    await lost
    expect(isRunning(pid)).toBe(false)
    await expect(query(server.url, "select 1")).rejects.toMatchObject({ code: "ECONNREFUSED" })

    await server.restart()
    expect(server.log()).toContain("automatic recovery in progress")
    expect(await query(server.url, "select n from t")).toEqual([{ n: 1 }])
    await server.restart() // a running one, too
    expect(await query(server.url, "select n from t")).toEqual([{ n: 1 }])
    await server.stop()
  })

  test("closes sessions that stay, after two seconds", async () => {
    const server = await startEmbedded()
    const client = new pg.Client({ connectionString: server.url }).on("error", () => {})
    const lost = new Promise((resolve) => client.once("end", resolve))
    await client.connect()
    await server.stop()
    await lost
    expect(isRunning(server.pid)).toBe(false)
  })

  test("says what the server said when it does not start", async () => {
    const settings = { shared_preload_libraries: "no_such_library" }
    await expect(startEmbedded({ settings })).rejects.toThrow(/"no_such_library": No such file/)
  })

  const signals = ["SIGKILL", "SIGTERM", "SIGINT"] as const
  test.each(signals)("leaves no server and no folder behind after %s", async (signal) => {
    const child = spawn(process.execPath, [fileURLToPath(new URL("server-child.ts", import.meta.url))])
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string]
    const { pid, folder } = JSON.parse(line) as { pid: number; folder: string }
    expect(isRunning(pid)).toBe(true)
    child.kill(signal)
    await until(() => !isRunning(pid) && !existsSync(folder))
  })

  test("leaves no folder behind when killed during initdb", async () => {
    const child = spawn(process.execPath, [fileURLToPath(new URL("server-child.ts", import.meta.url)), "early"])
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string]
    const { folder } = JSON.parse(line) as { folder: string }
    child.kill("SIGKILL")
    await until(() => !existsSync(folder))
    await sleep(300)
    expect(existsSync(folder)).toBe(false)
  })
})
