import type { PostgresMajor } from "../embedded/binaries.ts"

export interface Container {
  readonly url: string
  stop(): Promise<void>
}

/** Starts the official image through testcontainers, whose import costs 300 ms: ping the engine first. */
export async function startContainer(version: PostgresMajor): Promise<Container> {
  const { PostgreSqlContainer } = await import("@testcontainers/postgresql")
  const settings = ["fsync=off", "full_page_writes=off", "max_connections=200", "timezone=UTC"]
  const container = await new PostgreSqlContainer(`postgres:${version}-alpine`)
    .withCommand(["postgres", ...settings.flatMap((setting) => ["-c", setting])])
    .start()
  return {
    url: container.getConnectionUri(),
    async stop() {
      await container.stop()
    },
  }
}
