import type { Adapter } from "./adapter.ts"
import { drizzle1Pg, drizzlePg } from "./adapters/drizzle-pg.ts"
import { drizzle1PostgresJs, drizzlePostgresJs } from "./adapters/drizzle-postgres-js.ts"
import { pg } from "./adapters/pg.ts"
import { pglite } from "./adapters/pglite.ts"
import { postgresJs } from "./adapters/postgres-js.ts"

export const adapters: readonly Adapter[] = [
  pg,
  postgresJs,
  drizzlePg,
  drizzlePostgresJs,
  drizzle1Pg,
  drizzle1PostgresJs,
  pglite,
]
