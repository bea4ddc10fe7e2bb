const pool = `import { Pool, type PoolClient } from "pg"
const pool = new Pool({ connectionString: process.env.DATABASE_URL })
`
const client = `import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
${pool}const sluice = createClient(pgDriver(pool))
const emails = sluice.queue<{ userId: number }>("emails")
`

const markWelcomed = `const markWelcomed = async (tx: PoolClient, userId: number): Promise<void> => {
  await tx.query("update users set email = lower(email) where id = $1", [userId])
}
`
const working = `${client}${markWelcomed}const reports = sluice.queue<{ month: string }>("reports")
const clicks = sluice.queue<{ url: string }>("page-clicks")
const welcome = async (userId: number, signal?: AbortSignal): Promise<void> => void [userId, signal]
const print = async (month: string): Promise<void> => void month
const isAsleep = async (userId: number): Promise<boolean> => userId === 8
class NoSuchAddress extends Error {}
const insertClicks = async (tx: PoolClient, all: readonly { url: string }[]): Promise<void> => {
  await tx.query("select url from jsonb_to_recordset($1) as clicks (url text)", [JSON.stringify(all)])
}
void [reports, clicks, welcome, print, isAsleep, NoSuchAddress, insertClicks]
`

const streaming = `import { createClient, type StandardSchema } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
${pool}const sluice = createClient(pgDriver(pool))
const anything = { version: 1, vendor: "none", validate: (value: unknown) => ({ value: value as never }) } as const
const orderPlaced: StandardSchema<{ orderId: number; total: number }> = { "~standard": anything }
const orderPaid: StandardSchema<{ orderId: number }> = { "~standard": anything }
const markPaid = async (tx: PoolClient, orderId: number): Promise<void> => {
  await tx.query("update users set email = lower(email) where id = $1", [orderId])
}
const signal = AbortSignal.timeout(500)
void [orderPlaced, orderPaid, markPaid, signal]
`
const ordering = `${streaming}const orders = sluice.stream("orders", { events: { "order.placed": orderPlaced, "order.paid": orderPaid } })
await orders.publish("order.paid", { orderId: 1 })
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
  worker: client + markWelcomed,
  stream: streaming,
  consume: `${client}const welcome = async (userId: number): Promise<void> => void userId
`,
  "settle-in-transaction": client + markWelcomed,
  maintenance: client,
  "maintenance-loop": client,
  storages: client,
  roles: client,
  workers: client,
  "one-worker": working,
  outcomes: working,
  "transactional-worker": working,
  batches: working,
  "pause-and-cancel": working,
  "dead-letters": working,
  serverless: `${working}await emails.send({ userId: 7 })
setTimeout(() => void sluice.close(), 1000)
`,
  results: working,
  "worker-events": `${working}const worker = sluice.worker([emails.handler(() => Promise.reject(new Error("no")), { backoff: () => "1h" })])
`,
  "a-stream": streaming,
  publish: ordering,
  subscriptions: ordering,
  "read-batches": ordering,
  "one-subscriber": ordering,
  members: `${ordering}await orders.publish("order.paid", { orderId: 2 })
`,
  "retry-events": ordering,
  capture: `${ordering}await pool.query("alter table users add column if not exists last_seen timestamptz")
await pool.query("insert into users (email) values ('ada@example.com')")
await sluice.admin.createSubscription("orders", "table-watch")
`,
  lag: ordering,
  "stream-info": ordering,
  forward: `${ordering}await sluice.admin.createStream("orders-copy")
`,
  "after-restore": ordering,
  schedules: client,
  once: client,
  "idempotency-key": client,
}

/** What is left of the emails that are sent, once a worker has had them. */
const drain = (handler: string, left: number): string => `await emails.sendBatch([7, 8].map((userId) => ({ payload: { userId } })))
await clicks.send({ url: "/" })
await sluice.worker([${handler}]).drain()
if ((await sluice.admin.metrics(${handler}.queue)).length !== ${left}) throw new Error("Not handled.")
await emails.purge()
`

/** How many events the subscription has not done with. */
const untouched = (events: number): string => `const { pendingEvents: left } = await sluice.admin.getSubscriptionInfo("orders", "order-book")
if (left !== ${events}) throw new Error(\`\${left} are left.\`)
`

/** What shows that a block has worked, or ends it. */
export const epilogues: Record<string, string> = {
  worker: "await worker.drain()\n",
  "one-worker": `await emails.send({ userId: 7 })
await worker.drain()
if ((await emails.metrics()).length !== 0) throw new Error("Not handled.")
`,
  outcomes: drain("handler", 1),
  "transactional-worker": `${drain("handler", 0)}if ((await reports.metrics()).length !== 2) throw new Error("Not sent.")
`,
  batches: drain("handler", 0),
  serverless: `if ((await emails.metrics()).length !== 0) throw new Error("Not handled.")
`,
  stream: `await subscriber.drain()
${untouched(0)}`,
  "a-stream": untouched(0),
  publish: untouched(4),
  "read-batches": untouched(0),
  "one-subscriber": `await subscriber.drain()
${untouched(0)}`,
  members: `if (!batches.every((batch) => batch?.count === 1)) throw new Error("Not shared.")
`,
  "retry-events": `if (batch?.count !== 1 || dead.length !== 0) throw new Error("Not retried.")
if ((await sluice.admin.getSubscriptionInfo("orders", "order-book")).retries !== 1) throw new Error("Not retried.")
`,
  capture: `if (event!.type !== "users.update" || event!.key !== "1") throw new Error("Not captured.")
`,
  forward: `const copied = (await there.admin.getStreamInfo("orders-copy")).published
if (events === 0 || copied === 0 || copied > events) throw new Error(\`\${copied} of \${events} were copied.\`)
`,
  "after-restore": `if (streams !== 0) throw new Error("Repaired.")
`,
  "worker-events": `await emails.send({ userId: 7 })
await worker.drain()
await emails.purge()
if (events.retried !== 1) throw new Error("Not told.")
`,
}
