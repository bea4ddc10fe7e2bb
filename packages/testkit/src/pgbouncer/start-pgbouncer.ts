import { chownSync, existsSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { waitUntilReady } from "../wait-until-ready.ts"
import { randomPort } from "../random-port.ts"
import { makeServiceFolder, serviceUser } from "../service-user.ts"
import { startGuard } from "../start-guard.ts"

export interface PgBouncerOptions {
  /** A database that answers; every database of its server is served. */
  readonly serverUrl: string
  /** `"transaction"` by default. */
  readonly poolMode?: "transaction" | "session" | "statement"
  /** Server connections a database. 4 by default. */
  readonly poolSize?: number
}

export interface PgBouncer {
  /** `serverUrl`, by way of PgBouncer. */
  readonly url: string
  stop(): Promise<void>
}

export interface NoPgBouncer {
  readonly url: null
  readonly reason: string
}

/** Starts the machine's PgBouncer in front of a server, or says why not. It does not survive this process. */
export async function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncer | NoPgBouncer> {
  const binary = findPgBouncer()
  if (!binary) return { url: null, reason: "pgbouncer is not installed" }
  const url = new URL(options.serverUrl)
  const port = await randomPort()
  const folder = makeServiceFolder("sluice-pgbouncer-")
  const guard = startGuard({ folder })
  try {
    writeService(join(folder, "users.txt"), `${entry(url.username)} ${entry(url.password)}\n`)
    writeService(join(folder, "pgbouncer.ini"), configuration(url, port, folder, options))
    const throughUrl = new URL(url)
    throughUrl.hostname = "127.0.0.1"
    throughUrl.port = String(port)
    await waitUntilReady(throughUrl.href, await guard.run([binary, join(folder, "pgbouncer.ini")]), guard)
    return { url: throughUrl.href, stop: guard.close }
  } catch (error) {
    await guard.close()
    throw error
  }
}

// Debian puts it into /usr/sbin, which an ordinary user's PATH may lack.
function findPgBouncer(): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"]
  return folders.map((folder) => join(folder, "pgbouncer")).find((path) => existsSync(path))
}

// Clients prove the same password that PgBouncer then uses towards the server: it knows it in clear from users.txt.
function configuration(url: URL, port: number, folder: string, { poolMode, poolSize }: PgBouncerOptions): string {
  return `[databases]
* = host=${url.hostname} port=${url.port || 5432}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(folder, "users.txt")}
pool_mode = ${poolMode ?? "transaction"}
default_pool_size = ${poolSize ?? 4}
max_client_conn = 500
ignore_startup_parameters = extra_float_digits,options
`
}

function entry(text: string): string {
  return `"${decodeURIComponent(text).replaceAll('"', '""')}"`
}

function writeService(path: string, content: string): void {
  writeFileSync(path, content, { mode: 0o600 })
  if (serviceUser) chownSync(path, serviceUser.uid, serviceUser.gid)
}
