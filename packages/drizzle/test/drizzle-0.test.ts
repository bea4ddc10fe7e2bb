import { sql } from "drizzle-orm"
import { drizzle as pg } from "drizzle-orm/node-postgres"
import { drizzle as postgresJs } from "drizzle-orm/postgres-js"
import { describeDrizzle } from "./shared.ts"

describeDrizzle({
  pg: (pool, config) => pg(pool as never, config as never),
  postgresJs: (client, config) => postgresJs(client as never, config as never),
  sql,
})
