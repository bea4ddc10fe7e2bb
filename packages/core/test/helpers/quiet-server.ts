import { embeddedVersions, startEmbedded } from "@sluice/testkit"
import { afterAll, inject } from "vitest"

/**
 * The URL of a server of this file's own, of the version under test. For who counts pages of streams: every transaction that is open anywhere on a
 * server is a hole in the positions that are taken meanwhile, and each hole a look-up.
 */
export async function quietServer(): Promise<string> {
  const version = embeddedVersions.find((major) => String(major) === inject("serverVersion").split(".")[0]) ?? 18
  const server = await startEmbedded({ version })
  afterAll(() => server.stop())
  return server.url
}
