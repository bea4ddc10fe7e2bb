import pg from "pg"
import { pingDocker } from "./docker/ping-docker.ts"
import { startContainer } from "./docker/start-container.ts"
import { embeddedVersions, type PostgresMajor } from "./embedded/binaries.ts"
import { type EmbeddedOptions, startEmbedded } from "./embedded/start-embedded.ts"

export type ServerKind = "DATABASE_URL" | "docker" | "embedded"

export interface ResolvedServer {
  /** Of a superuser, or of whoever DATABASE_URL names: it must be allowed to create databases. */
  readonly url: string
  readonly kind: ServerKind
  /** As the server says it: `"18.4"`. */
  readonly version: string
  /** Ends what was started here; a server behind DATABASE_URL is left alone. */
  stop(): Promise<void>
}

export interface ResolveOptions extends Pick<EmbeddedOptions, "fsync" | "settings"> {
  /** Takes one line about what was chosen, and one for each way that failed. Standard error by default. */
  readonly log?: (line: string) => void
  /** The major to start: 18, or what SLUICE_TEST_POSTGRES says. Like the settings, it has no say over DATABASE_URL. */
  readonly version?: PostgresMajor
}

/**
 * Finds a Postgres: DATABASE_URL, else a container where a Docker engine answers, else embedded binaries.
 * `SLUICE_TEST_DATABASE=url|docker|embedded` forces one of them, which then must work.
 */
export async function resolveServer(options: ResolveOptions = {}): Promise<ResolvedServer> {
  const log = options.log ?? ((line) => void process.stderr.write(`${line}\n`))
  const { version = versionFromEnvironment(), fsync, settings } = options
  const started = await start({ version, fsync, settings }, log)
  try {
    const running = await askVersion(started.url)
    log(`[database] Postgres ${running}, ${started.kind}`)
    return { ...started, version: running }
  } catch (cause) {
    await started.stop()
    throw new Error(`The server given by ${started.kind} does not answer.`, { cause })
  }
}

type Started = Omit<ResolvedServer, "version">

type StartOptions = EmbeddedOptions & { readonly version: PostgresMajor }

async function start(options: StartOptions, log: (line: string) => void): Promise<Started> {
  const forced = process.env.SLUICE_TEST_DATABASE || undefined
  const url = process.env.DATABASE_URL
  switch (forced) {
    case "url":
      if (!url) throw new Error("SLUICE_TEST_DATABASE=url needs DATABASE_URL.")
      return { url, kind: "DATABASE_URL", stop: async () => {} }
    case "docker":
      if (!(await pingDocker())) throw new Error("SLUICE_TEST_DATABASE=docker, but no Docker engine answers.")
      return { kind: "docker", ...(await startContainer(options)) }
    case "embedded":
      return startEmbeddedServer(options)
    case undefined:
      if (url) return { url, kind: "DATABASE_URL", stop: async () => {} }
      return (await tryDocker(options, log)) ?? startEmbeddedServer(options)
    default:
      throw new Error(`SLUICE_TEST_DATABASE is url, docker or embedded, not ${forced}.`)
  }
}

async function tryDocker(options: StartOptions, log: (line: string) => void): Promise<Started | undefined> {
  if (!(await pingDocker())) return undefined
  try {
    return { kind: "docker", ...(await startContainer(options)) }
  } catch (error) {
    const image = `postgres:${options.version}-alpine`
    const reason = String(error instanceof Error ? error.message : error).replaceAll(/\s+/g, " ").replace(/[ .]+$/, "")
    log(`[database] a Docker engine answers, but gives no ${image}: ${reason}. Taking embedded Postgres.`)
    return undefined
  }
}

async function startEmbeddedServer(options: StartOptions): Promise<Started> {
  const { url, stop } = await startEmbedded(options)
  return { url, kind: "embedded", stop }
}

function versionFromEnvironment(): PostgresMajor {
  const asked = process.env.SLUICE_TEST_POSTGRES
  const version = embeddedVersions.find((major) => String(major) === (asked || "18"))
  if (!version) throw new Error(`SLUICE_TEST_POSTGRES is one of ${embeddedVersions.join(", ")}, not ${asked}.`)
  return version
}

async function askVersion(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  client.on("error", () => {})
  await client.connect()
  try {
    const { rows } = await client.query<{ version: string }>("select current_setting('server_version') as version")
    return rows[0]?.version.split(" ")[0] ?? "unknown"
  } finally {
    await client.end()
  }
}
