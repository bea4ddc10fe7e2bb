import { randomBytes } from "node:crypto"
import { chownSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { randomPort } from "../random-port.ts"
import { makeServiceFolder, serviceUser } from "../service-user.ts"
import { startGuard, type Guard, type GuardedRun } from "../start-guard.ts"
import { findBinaries, type PostgresMajor } from "./binaries.ts"
import { waitUntilReady } from "../wait-until-ready.ts"

export interface EmbeddedOptions {
  /** 18 by default. */
  readonly version?: PostgresMajor
  /** Off by default: fast, and still safe against a crash of the server, though not of the machine. */
  readonly fsync?: boolean
  /** Further server settings, such as `{ shared_preload_libraries: "pg_stat_statements" }`. */
  readonly settings?: Readonly<Record<string, string | number | boolean>>
  /** Leaves the folder behind for the caller to inspect and remove. */
  readonly keepData?: boolean
}

export interface EmbeddedServer {
  /** Of the database `postgres`, as superuser, with a random password. The same after every `restart`. */
  readonly url: string
  readonly port: number
  readonly dataFolder: string
  readonly version: PostgresMajor
  /** The process id of the postmaster. */
  readonly pid: number
  /** The last kilobytes of the server's log. */
  log(): string
  /** Waits up to 2 s for clients to leave, ends the server, removes its folder. Safe to call twice. */
  stop(): Promise<void>
  /** A crash: sessions end without a word, the next start recovers from WAL. The data stay for `restart`. */
  stopImmediate(): Promise<void>
  /** Starts again on the same data and port, after a fast shutdown if it still runs. */
  restart(): Promise<void>
}

/** Starts a Postgres of our own on loopback, from npm's binaries. Neither it nor its folder survives this process. */
export async function startEmbedded(options: EmbeddedOptions = {}): Promise<EmbeddedServer> {
  const { version = 18, fsync = false } = options
  const binaries = await findBinaries(version)
  const folder = makeServiceFolder("sluice-postgres-")
  const guard = startGuard({ folder, keepFolder: options.keepData })
  const dataFolder = join(folder, "data")
  const password = randomBytes(18).toString("hex")
  try {
    await initialise(guard, binaries.initdb, folder, password)
    const settings = { ...baseSettings, ...(fsync ? {} : unsafeSettings), ...options.settings }
    const command = [binaries.postgres, "-D", dataFolder, ...toFlags(settings)]
    const urlAt: UrlAt = (port) => `postgres://postgres:${password}@127.0.0.1:${port}/postgres`
    const first = await serveOnFreePort(guard, command, urlAt)
    return control({ guard, command, url: urlAt(first.port), dataFolder, version, ...first })
  } catch (error) {
    await guard.close()
    throw error
  }
}

const baseSettings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: 200,
  timezone: "UTC",
  log_timezone: "UTC",
}

const unsafeSettings = { fsync: "off", full_page_writes: "off" }

function toFlags(settings: Readonly<Record<string, string | number | boolean>>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])
}

// Encoding and collation are fixed, or they would follow the machine's LANG.
async function initialise(guard: Guard, initdb: string, folder: string, password: string): Promise<void> {
  const passwordFile = join(folder, "password")
  writeFileSync(passwordFile, password, { mode: 0o600 })
  if (serviceUser) chownSync(passwordFile, serviceUser.uid, serviceUser.gid)
  const auth = ["-U", "postgres", "-A", "scram-sha-256", `--pwfile=${passwordFile}`]
  const flags = ["-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
  const run = await guard.run([initdb, "-D", join(folder, "data"), ...auth, ...flags])
  if ((await run.exited) !== 0) throw new Error(`initdb failed.\n${guard.output()}`)
}

interface Serving {
  readonly run: GuardedRun
  readonly port: number
}

type UrlAt = (port: number) => string

async function serveOnFreePort(guard: Guard, command: readonly string[], urlAt: UrlAt): Promise<Serving> {
  for (let triesLeft = 3; ; triesLeft--) {
    const port = await randomPort()
    const run = await guard.run([...command, "-p", String(port)])
    try {
      await waitUntilReady(urlAt(port), run, guard)
      return { run, port }
    } catch (error) {
      const taken = run.code !== undefined && guard.output().includes("Address already in use")
      if (!taken || triesLeft === 1) throw error
    }
  }
}

interface Controlled extends Serving {
  readonly guard: Guard
  readonly command: readonly string[]
  readonly url: string
  readonly dataFolder: string
  readonly version: PostgresMajor
}

function control({ guard, command, url, port, dataFolder, version, ...first }: Controlled): EmbeddedServer {
  let run = first.run
  const end = async (signal: "SIGINT" | "SIGQUIT"): Promise<void> => {
    if (run.code === undefined) process.kill(run.pid, signal)
    await run.exited
  }
  return {
    url,
    port,
    dataFolder,
    version,
    get pid() {
      return run.pid
    },
    log: guard.output,
    stop: guard.close,
    stopImmediate: () => end("SIGQUIT"),
    async restart() {
      await end("SIGINT")
      run = await guard.run([...command, "-p", String(port)])
      await waitUntilReady(url, run, guard)
    },
  }
}
