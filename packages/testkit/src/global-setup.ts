import type { TestProject } from "vitest/node"
import { resolveServer } from "./resolve-server.ts"
import type * as _provided from "./vitest.ts"

/** Vitest's global setup: one server for the whole run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await resolveServer()
  project.provide("serverUrl", server.url)
  project.provide("serverKind", server.kind)
  project.provide("serverVersion", server.version)
  return server.stop
}
