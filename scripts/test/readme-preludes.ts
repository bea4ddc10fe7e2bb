const pool = `import { Pool, type PoolClient } from "pg"
const pool = new Pool({ connectionString: process.env.DATABASE_URL })
`
const client = `import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
${pool}const sluice = createClient(pgDriver(pool))
const emails = sluice.queue<{ userId: number }>("emails")
`

/** What each block of the README, and of the guides, takes for granted. */
export const preludes: Record<string, string> = {
  drizzle: `import { drizzle } from "drizzle-orm/node-postgres"
import { pgTable, integer, text } from "drizzle-orm/pg-core"
${pool}const db = drizzle({ client: pool })
const users = pgTable("users", { id: integer().generatedAlwaysAsIdentity(), email: text().notNull() })
`,
  "postgres-js": `import postgres from "postgres"
const sql = postgres(process.env.DATABASE_URL!)
`,
  pg: pool,
  consume: `${client}const welcome = async (userId: number): Promise<void> => void userId
`,
  "settle-in-transaction": `${client}const markWelcomed = async (tx: PoolClient, userId: number): Promise<void> => {
  await tx.query("update users set email = lower(email) where id = $1", [userId])
}
`,
  maintenance: client,
  "maintenance-loop": client,
  storages: client,
  roles: client,
  workers: client,
  schedules: client,
  once: client,
  "idempotency-key": client,
}
