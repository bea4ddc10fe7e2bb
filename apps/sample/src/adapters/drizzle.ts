import { createClient } from "@sluice/core"
import { drizzleDriver, type DrizzleLike } from "@sluice/drizzle"
import { and, count, eq, gte, like, sql } from "drizzle-orm"
import { drizzle as drizzleOverPg } from "drizzle-orm/node-postgres"
import { bigint, boolean, integer, type PgDatabase, type PgQueryResultHKT, pgSchema, text } from "drizzle-orm/pg-core"
import { drizzle as drizzleOverPostgresJs } from "drizzle-orm/postgres-js"
import { Pool } from "pg"
import postgres from "postgres"
import { openEvents } from "../events.ts"
import type { Orders } from "../orders.ts"
import { openQueues } from "../queues.ts"
import { shopSchema, sluiceSchema } from "../tables.ts"
import type { OpenShop } from "./open-shop.ts"

const shop = pgSchema(shopSchema)

const productTable = shop.table("products", { sku: text().primaryKey(), stock: integer().notNull() })

const orderTable = shop.table("orders", {
  id: text().primaryKey(),
  sku: text().notNull().references(() => productTable.sku),
  quantity: integer().notNull(),
})

const paymentTable = shop.table("payments", {
  id: bigint({ mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
  orderId: text("order_id").notNull().references(() => orderTable.id),
})

const shipmentTable = shop.table("shipments", {
  id: bigint({ mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
  orderId: text("order_id").notNull().references(() => orderTable.id),
  delivery: integer().notNull(),
})

const reportTable = shop.table("reports", { shop: text().notNull(), shipped: integer().notNull() })

const reservationTable = shop.table("reservations", {
  orderId: text("order_id").primaryKey(),
  sku: text().notNull(),
  quantity: integer().notNull(),
  paid: boolean().notNull().default(false),
})

const bookTable = shop.table("order_book", { orderId: text("order_id").primaryKey(), status: text().notNull(), steps: integer().notNull() })

const auditTable = shop.table("audit_log", {
  id: bigint({ mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
  eventId: bigint("event_id", { mode: "bigint" }).notNull(),
  type: text().notNull(),
  orderId: text("order_id").notNull(),
  data: text().notNull(),
  delivery: integer().notNull(),
})

/** What the queries below need of a transaction, whichever library Drizzle runs on. */
type Tx = Pick<PgDatabase<PgQueryResultHKT>, "delete" | "insert" | "select" | "update">

const orders: Orders<Tx> = {
  async insertOrder(tx, order) {
    await tx.insert(orderTable).values(order)
  },
  async takeStock(tx, sku, quantity) {
    const taken = await tx
      .update(productTable)
      .set({ stock: sql`${productTable.stock} - ${quantity}` })
      .where(and(eq(productTable.sku, sku), gte(productTable.stock, quantity)))
      .returning({ sku: productTable.sku })
    return taken.length === 1
  },
  async insertPayment(tx, orderId) {
    await tx.insert(paymentTable).values({ orderId })
  },
  async insertShipment(tx, orderId, delivery) {
    await tx.insert(shipmentTable).values({ orderId, delivery })
  },
  async insertReport(tx, name) {
    const [sales] = await tx.select({ shipped: count() }).from(shipmentTable).where(like(shipmentTable.orderId, `${name}-__`))
    await tx.insert(reportTable).values({ shop: name, shipped: sales!.shipped })
  },
  async insertReservation(tx, { id, sku, quantity }) {
    await tx.insert(reservationTable).values({ orderId: id, sku, quantity })
  },
  async payReservation(tx, orderId) {
    await tx.update(reservationTable).set({ paid: true }).where(eq(reservationTable.orderId, orderId))
  },
  async deleteReservation(tx, orderId) {
    await tx.delete(reservationTable).where(eq(reservationTable.orderId, orderId))
  },
  async countStep(tx, orderId, status) {
    const again = { target: bookTable.orderId, set: { status, steps: sql`${bookTable.steps} + 1` } }
    await tx.insert(bookTable).values({ orderId, status, steps: 1 }).onConflictDoUpdate(again)
  },
  async insertAuditEntry(tx, { eventId, attempt, ...entry }) {
    await tx.insert(auditTable).values({ ...entry, eventId: BigInt(eventId), delivery: attempt })
  },
}

function openDrizzle<T extends Tx>(db: DrizzleLike<T>, name: string, end: () => Promise<void>): OpenShop<T> {
  const sluice = createClient(drizzleDriver(db), { schema: sluiceSchema })
  return {
    orders,
    sluice,
    ...openQueues(sluice, name),
    events: openEvents(sluice, name),
    transaction: (work) => db.transaction(work),
    close: async () => {
      await sluice.close()
      await end()
    },
  }
}

export function openDrizzlePg(url: string, name: string): OpenShop {
  const pool = new Pool({ connectionString: url })
  pool.on("error", () => {}) // an idle connection that dies is replaced at the next use
  pool.on("connect", (client) => void client.on("error", () => {})) // and Drizzle listens to none that runs a transaction
  return openDrizzle(drizzleOverPg(pool), name, () => pool.end())
}

export function openDrizzlePostgresJs(url: string, name: string): OpenShop {
  const client = postgres(url)
  return openDrizzle(drizzleOverPostgresJs(client), name, () => client.end())
}
