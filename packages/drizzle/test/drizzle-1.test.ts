import { sql } from "drizzle-orm-1"
import { drizzle as pg } from "drizzle-orm-1/node-postgres"
import { drizzle as postgresJs } from "drizzle-orm-1/postgres-js"
import { vi } from "vitest"
import { describeDrizzle } from "./shared.ts"

// The driver builds its statements with the peer that is installed: here, that is the release candidate.
vi.mock("drizzle-orm", () => import("drizzle-orm-1"))

describeDrizzle({
  pg: (client, config) => pg({ client, ...config } as never),
  postgresJs: (client, config) => postgresJs({ client, ...config } as never),
  sql,
})
