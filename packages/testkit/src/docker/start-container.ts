import type { PostgresMajor } from "../embedded/binaries.ts"
import type { EmbeddedOptions } from "../embedded/start-embedded.ts"

export interface ContainerOptions extends Pick<EmbeddedOptions, "fsync" | "settings"> {
  readonly version: PostgresMajor
}

export interface Container {
  readonly url: string
  stop(): Promise<void>
}

/** Starts the official image through testcontainers, whose import costs 300 ms: ping the engine first. */
export async function startContainer({ version, fsync, settings }: ContainerOptions): Promise<Container> {
  const { PostgreSqlContainer } = await import("@testcontainers/postgresql")
  const unsafe = fsync ? {} : { fsync: "off", full_page_writes: "off" }
  const flags = Object.entries({ max_connections: 200, timezone: "UTC", ...unsafe, ...settings })
  const container = await new PostgreSqlContainer(`postgres:${version}-alpine`)
    .withCommand(["postgres", ...flags.flatMap(([name, value]) => ["-c", `${name}=${value}`])])
    .start()
  return {
    url: container.getConnectionUri(),
    async stop() {
      await container.stop()
    },
  }
}
