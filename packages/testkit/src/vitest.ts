import { afterAll, expect, inject } from "vitest"
import { createDatabase, type TestDatabase } from "./create-database.ts"
import type { ServerKind } from "./resolve-server.ts"

declare module "vitest" {
  interface ProvidedContext {
    serverUrl: string
    serverKind: ServerKind
    serverVersion: string
  }
}

/**
 * A fresh database for the test file that calls it, dropped after its tests:
 * `const { url } = await databasePerFile()` at the top, before the hooks that close pools on it.
 */
export async function databasePerFile(label?: string): Promise<TestDatabase> {
  const file = expect.getState().testPath?.split("/").at(-1)?.replace(/\.test\.ts$/, "")
  const database = await createDatabase(inject("serverUrl"), label ?? file ?? "test")
  afterAll(database.drop)
  return database
}
